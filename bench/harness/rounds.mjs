// How the benchmarks measure. A round times each contestant once, in any order; a ratio is taken within a round, so
// that both of its times were measured under the same conditions, and the median over the rounds counts. Rounds are
// short, so that most of them are not interrupted by what else the machine does.

export const QUICK = process.argv.includes("--quick");
const ROUNDS = QUICK ? 31 : 301;
/** Long enough for the compiler to have done its best. */
const WARM_MS = QUICK ? 10 : 600;
const ROUND_MS = QUICK ? 0.5 : 1;

export const median = (values) => values.sort((x, y) => x - y)[values.length >> 1];

function time(run, times) {
  const begin = process.hrtime.bigint();
  run(times);
  return Number(process.hrtime.bigint() - begin) / times;
}

const calls = (each) => Math.max(1, Math.round((ROUND_MS * 1e6) / each));

/** Milliseconds of processor time that the process has had. */
function worked() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/**
 * How many calls make a round, by the shortest that was seen: a run that was interrupted says nothing. On a busy machine
 * it takes longer, up to ten times, since it is work that makes the compiler do its best.
 */
function warm(run, ms) {
  let least = Infinity;
  let times = 1;
  const [begin, end] = [worked(), performance.now() + 10 * ms];
  for (; worked() - begin < ms && performance.now() < end; times = calls(least))
    least = Math.min(least, time(run, times));
  return times;
}

/** In another order each time: the system may take the processor away in step with the rounds. */
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
 * Times contestants: functions, by name, that do their work as many times as they are told. Answers the ratio of one to
 * another, less than 1 where the first is faster.
 */
export function race(contestants, options) {
  const { rounds: count, warmMs } = settings(options);
  const names = Object.keys(contestants);
  const times = Object.fromEntries(names.map((name) => [name, warm(contestants[name], warmMs)]));
  const round = () =>
    Object.fromEntries(shuffled(names).map((name) => [name, time(contestants[name], times[name])]));
  return ratioOf(Array.from({ length: count }, round));
}

/** As race, for contestants that answer promises, some or all. */
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

/** What was made last is kept in reach, so that no compiler can leave the work out. */
export const kept = { value: undefined };
// Of every kind from the start: the first number among objects would have the compiler begin anew in the middle of a race.
for (const value of [1, 1.5, 1n, "text", kept]) kept.value = value;
