/** A question to a process that is asked again and again, by actors that look often and never wait. */
export class Inquiry {
  #peer;
  #line;
  #onAnswer;
  #isAsking = false;
  #failure = null;

  /** `onAnswer` gets each answer's numbers, and when the question was asked, by performance.now(). */
  constructor(peer, line, onAnswer) {
    this.#peer = peer;
    this.#line = line;
    this.#onAnswer = onAnswer;
  }

  /** Asks, unless an answer is still to come. Throws if a former answer was wrong, or the process has ended. */
  ask() {
    if (this.#failure) throw this.#failure;
    if (!this.#isAsking) void this.#ask().catch((error) => (this.#failure = error));
  }

  async #ask() {
    this.#isAsking = true;
    const asked = performance.now();
    const answer = await this.#peer.ask(this.#line);
    this.#isAsking = false;
    this.#onAnswer(answer.split(" ").map(Number), asked);
  }
}
