// The verbs, their arguments and their help. What they do is loaded when it is needed.
import { Command, Help, Option } from "commander";
import { VERSION } from "../version.js";
import { Status } from "./failure.js";
import { safe } from "./text.js";

const example = (command: Command, ...lines: string[]): Command =>
  command.addHelpText("after", `\nExample:\n${lines.map((line) => `  $ ${line}`).join("\n")}`);

/** Adds what every verb has. */
const common = (command: Command): Command =>
  command
    .option("--json", "print JSON: an object a line")
    .option("--watch [SECONDS]", "repeat every SECONDS, 2 unless given");

const form = (): Option =>
  new Option("--as <FORM>", "how messages are shown")
    .choices(["erlang", "json", "hex", "raw"])
    .default("erlang");

export function program(): Command {
  const emmap = new Command("emmap")
    .description("Shows, checks and changes files of emmap while BEAM and Node use them.")
    .version(VERSION)
    .showSuggestionAfterError()
    .configureOutput({
      outputError: (text, write) => write(text.split("\n").map(safe).join("\n")),
    })
    .configureHelp({
      subcommandTerm: (command) => command.name(),
      // Those of all verbs together have to fit a screen.
      visibleOptions(command) {
        return command.parent === null ? [] : Help.prototype.visibleOptions.call(this, command);
      },
    })
    .helpCommand(false)
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? Status.ok : Status.usage);
    })
    .addHelpText(
      "after",
      "\nStatus: 0 done, 1 failed or damaged, 2 wrong use, 3 busy, 4 nothing there." +
        "\nemmap VERB --help shows the options of a verb, with an example.",
    );

  const verb = (name: string, description: string): Command => {
    const command = emmap.command(name).description(description);
    return command.exitOverride((error) => process.exit(error.exitCode === 0 ? Status.ok : Status.usage));
  };

  example(
    common(verb("ls", "list files, with what is in them and who uses them"))
      .argument("[PATH...]", "folders or files; the current folder unless given")
      .option("-r, --recursive", "look into folders too")
      .option("-a, --all", "list files without a format too")
      .action(async (paths, options) => (await import("./verbs/ls.js")).ls(paths, options)),
    "emmap ls /var/lib/shop",
  );
  example(
    common(verb("info", "tell who has a file open, who has its lock, what is in it"))
      .argument("<FILE...>")
      .action(async (files, options) => (await import("./verbs/info.js")).info(files, options)),
    "emmap info jobs.q",
    "emmap info jobs.q --json | jq .writers",
  );
  example(
    verb("top", "watch rates, depth, waits, and what is stuck; q ends it")
      .argument("[PATH...]", "folders or files; the current folder unless given")
      .option("--once", "print one table and end")
      .option("--json", "print JSON: an object for each look")
      .option("--watch [SECONDS]", "seconds between two looks, 2 unless given")
      .option("-r, --recursive", "look into folders too")
      .action(async (paths, options) => (await import("./verbs/top.js")).top(paths, options)),
    "emmap top /var/lib/shop",
    "emmap top --once jobs.q",
  );
  example(
    common(verb("counters", "show or change counters: list, get, add, set"))
      .argument("<FILE>")
      .argument("[VERB]", "list, get, add or set", "list")
      .argument("[NUMBER...]", "the counter's index, and the number to add or set")
      .action(async (file, what, numbers, options) =>
        (await import("./more.js")).counters(file, what, numbers, options),
      ),
    "emmap counters visits.bin",
    "emmap counters visits.bin add 0 5",
  );
  example(
    common(verb("queue", "peek, tail, push, pop, take, purge, move or copy messages"))
      .argument("<FILE>")
      .argument("[VERB]", "peek, tail, push, pop, take, purge, move, copy, hand or release", "peek")
      .argument(
        "[WORD...]",
        "messages to push; or the queue to move or copy to; or the program that takes; or how many, 10 unless given",
      )
      .addOption(form())
      .option("-f, --follow", "tail: go on with messages that are pushed")
      .option(
        "-n, --count <N>",
        "how many messages: 10 for peek and tail, 1 for pop and take, all for move and copy",
      )
      .option("--create", "push, move and copy: create the queue if it is missing")
      .action(async (file, what, words, options) =>
        (await import("./more.js")).queue(file, what, words, options),
      ),
    "emmap queue jobs.q peek -n 3 --as json",
    `emmap queue jobs.q push '{"picture": "cat.png"}'`,
    "emmap queue jobs.q tail --follow",
    "emmap queue failed.q move jobs.q",
    "emmap queue jobs.q take --as json -- ./make-picture.sh",
  );
  example(
    common(verb("blocks", "show or free blocks: ls, get, free"))
      .argument("<FILE>")
      .argument("[VERB]", "ls, get or free", "ls")
      .argument("[ADDRESS...]")
      .option("-n, --count <N>", "how many blocks ls shows, 10 unless given")
      .option("--raw", "get: write the blocks' bytes to standard output")
      .action(async (file, what, addresses, options) =>
        (await import("./more.js")).blocks(file, what, addresses, options),
      ),
    "emmap blocks pictures.bin get 4096 --raw > picture",
  );
  example(
    common(verb("cell", "show, watch or publish the value of a cell"))
      .argument("<FILE>")
      .argument("[VERB]", "get, watch or publish", "get")
      .argument("[VALUE...]", "the value to publish: JSON, or as --as says")
      .addOption(form())
      .action(async (file, what, values, options) =>
        (await import("./more.js")).cell(file, what, values, options),
      ),
    "emmap cell flags.cell watch --as json",
    `emmap cell flags.cell publish '{"new-checkout": 25}'`,
  );
  example(
    common(verb("table", "show or change keys: ls, get, add, set, delete"))
      .argument("<FILE>")
      .argument("[VERB]", "ls, get, add, set or delete", "ls")
      .argument("[KEY...]", "the key, and the number to add or set")
      .option("-n, --count <N>", "how many keys ls shows, 10 unless given")
      .option("--word <I>", "the word to get, add to or set, 0 unless given")
      .option("--hex", "keys are given and shown in hexadecimal")
      .action(async (file, what, words, options) =>
        (await import("./more.js")).table(file, what, words, options),
      ),
    "emmap table clients.table get 10.0.0.1",
    "emmap table clients.table delete 10.0.0.1",
  );
  example(
    common(verb("metrics", "show metrics, as text for Prometheus or as a list"))
      .argument("<FILE>")
      .argument("[VERB]", "text or ls", "text")
      .action(async (file, what, options) => (await import("./more.js")).metrics(file, what, options)),
    "emmap metrics metrics.table",
    "emmap metrics metrics.table ls",
  );
  example(
    common(verb("check", "look for damage, tell where it is, and repair it"))
      .argument("<FILE...>")
      .option("--repair", "repair damaged files, after a backup to FILE.damaged")
      .addOption(
        new Option("--kind <KIND>", "take the files for this kind, if their first bytes are damaged").choices(
          ["counters", "queue", "blocks", "cell", "table", "metrics"],
        ),
      )
      .action(async (files, options) => (await import("./verbs/check.js")).check(files, options)),
    "emmap check *.q",
    "emmap check --repair --kind queue jobs.q",
  );
  example(
    verb("backup", "copy a file in use, as it is at one moment")
      .argument("<FILE>")
      .argument("<TO>")
      .option("--json", "print JSON")
      .action(async (file, to, options) => (await import("./more.js")).backup(file, to, options)),
    "emmap backup jobs.q jobs-$(date +%F).q",
  );
  example(
    verb("doctor", "tell what works here: kernel, file system, locks, limits")
      .argument("[FOLDER]", "where to try; the current folder unless given", ".")
      .option("--json", "print JSON: an object for each check")
      .action(async (folder, options) => (await import("./more.js")).doctor(folder, options)),
    "emmap doctor /var/lib/shop",
  );
  example(
    verb("serve", "show files in a browser, and to Prometheus at /metrics")
      .argument("[PATH...]", "folders or files; the current folder unless given")
      .option("-p, --port <N>", "the port; 0: any free one", "9627")
      .option("--host <ADDRESS>", "listen here; anything but loopback asks for a token", "127.0.0.1")
      .option("--token <TOKEN>", "the token; EMMAP_TOKEN in the environment unless given, or a new one")
      .option("-r, --recursive", "look into folders too")
      .action(async (paths, options) => (await import("./more.js")).serve(paths, options)),
    "emmap serve /var/lib/shop",
  );
  example(
    verb("completion", "print the completion for bash, zsh or fish")
      .argument("<SHELL>")
      .action(async (shell) => (await import("./verbs/completion.js")).completion(shell, emmap)),
    "source <(emmap completion bash)",
  );
  emmap
    .command("help", { hidden: true })
    .description("show the options of a verb, with an example")
    .argument("[VERB]")
    .action(async (name?: string) => {
      const { chosen } = await import("./words.js");
      const names = emmap.commands.map((each) => each.name());
      const shown = name === undefined ? undefined : chosen(name, names);
      (emmap.commands.find((each) => each.name() === shown) ?? emmap).outputHelp();
    });
  return emmap;
}
