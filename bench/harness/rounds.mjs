// Measures for the benchmarks. A round times each contestant once, in random order. A ratio is of two times of one round,
// measured under the same conditions. The result is the median over all rounds. Rounds are short, so that other processes
// interrupt few of them.

export const QUICK = process.argv.includes("--quick");
const ROUNDS = QUICK ? 31 : 301;
/** Long enough for the compiler to optimise the code fully. */
const WARM_MS = QUICK ? 10 : 600;
const ROUND_MS = QUICK ? 0.5 : 1;

export const median = (values) => values.sort((x, y) => x - y)[values.length >> 1];

function time(run, times) {
  const begin = process.hrtime.bigint();
  run(times);
  return Number(process.hrtime.bigint() - begin) / times;
}

const calls = (each) => Math.max(1, Math.round((ROUND_MS * 1e6) / each));

/** The processor time of this process, in milliseconds. */
function worked() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * The number of calls in a round. It follows from the shortest run, because other processes may have interrupted the
 * longer ones. The warm-up is a length of processor time, since the compiler optimises after work, not after time. On a
 * busy machine it may take up to ten times that long.
 */
function warm(run, ms) {
  let least = Infinity;
  let times = 1;
  const [begin, end] = [worked(), performance.now() + 10 * ms];
  for (; worked() - begin < ms && performance.now() < end; times = calls(least))
    least = Math.min(least, time(run, times));
  return times;
}

/** A random order for each round, because the system may interrupt in step with the rounds. */
export function shuffled(names) {
  const result = [...names];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

const settings = ({ rounds = ROUNDS, warmMs = WARM_MS } = {}) => ({
  rounds: Math.min(rounds, QUICK ? ROUNDS : rounds),
  warmMs: Math.min(warmMs, QUICK ? WARM_MS : warmMs),
});

const ratioOf = (rounds) => (one, other) => median(rounds.map((round) => round[one] / round[other]));

/**
 * Times contestants: functions, by name, that do their work the given number of times. Returns a function for the ratio
 * of one contestant's time to another's, less than 1 if the first is faster.
 */
export function race(contestants, options) {
  const { rounds: count, warmMs } = settings(options);
  const names = Object.keys(contestants);
  const times = Object.fromEntries(names.map((name) => [name, warm(contestants[name], warmMs)]));
  const round = () =>
    Object.fromEntries(shuffled(names).map((name) => [name, time(contestants[name], times[name])]));
  return ratioOf(Array.from({ length: count }, round));
}

/** The same as `race`, for contestants of which some or all return promises. */
export async function raceAsync(contestants, options) {
  const { rounds: count, warmMs } = settings(options);
  const names = Object.keys(contestants);
  const timed = async (name, times) => {
    const begin = process.hrtime.bigint();
    await contestants[name](times);
    return Number(process.hrtime.bigint() - begin) / times;
  };
  const times = {};
  for (const name of names) {
    let least = Infinity;
    times[name] = 1;
    for (const end = performance.now() + warmMs; performance.now() < end; times[name] = calls(least))
      least = Math.min(least, await timed(name, times[name]));
  }
  const rounds = [];
  for (let i = 0; i < count; i++) {
    const round = {};
    for (const name of shuffled(names)) round[name] = await timed(name, times[name]);
    rounds.push(round);
  }
  return ratioOf(rounds);
}

/** Keeps a result reachable, so that no compiler can leave the work out. */
export const kept = { value: undefined };
// Holds every kind of value from the start. The first number among objects would make the compiler begin anew in a race.
for (const value of [1, 1.5, 1n, "text", kept]) kept.value = value;
