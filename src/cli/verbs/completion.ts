// emmap completion
import type { Command } from "commander";
import { Failure, Status } from "../failure.js";
import { print } from "../output.js";

/** The words that may follow a file. */
const WORDS: Record<string, string> = {
  counters: "list get add set",
  queue: "peek tail push pop take purge move copy hand release",
  blocks: "ls get free",
  cell: "get watch publish",
  table: "ls get add set delete",
  metrics: "text ls",
};

/** The options whose values can be listed. */
const choices = (command: Command): { flag: string; values: readonly string[] }[] =>
  command.options.flatMap(({ long, argChoices }) =>
    long != null && argChoices !== undefined ? [{ flag: long, values: argChoices }] : [],
  );

const flags = (command: Command): string[] =>
  command.options
    .flatMap(({ long, short }) => [long, short].filter((flag) => flag != null) as string[])
    .concat("--help");

const SHELLS: Record<string, (verbs: readonly Command[]) => string> = {
  bash: (verbs) => `_emmap() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} verb=\${COMP_WORDS[1]} words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    words="${verbs.map((each) => each.name()).join(" ")} --help --version"
  else
    case "$verb:$word" in
${verbs.map((each) => `      ${each.name()}:-*) words="${flags(each).join(" ")}" ;;`).join("\n")}
      completion:*) words="bash zsh fish" ;;
    esac
    case "$verb:$before" in
${verbs
  .flatMap((each) =>
    choices(each).map(({ flag, values }) => `      ${each.name()}:${flag}) words="${values.join(" ")}" ;;`),
  )
  .join("\n")}
    esac
    if [ -z "$words" ] && [ "$COMP_CWORD" -eq 3 ]; then
      case "$verb" in
${Object.entries(WORDS)
  .map(([verb, words]) => `        ${verb}) words="${words}" ;;`)
  .join("\n")}
      esac
    fi
  fi
  if [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  else
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -F _emmap emmap
`,
  zsh: (verbs) => `#compdef emmap
_emmap() {
  local -a verbs
  verbs=(
${verbs.map((each) => `    '${each.name()}:${each.description().replaceAll("'", "'\\''").replaceAll(":", "\\:")}'`).join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe verb verbs
    return
  fi
  case "$words[2]:$words[CURRENT - 1]" in
${verbs
  .flatMap((each) =>
    choices(each).map(
      ({ flag, values }) => `    ${each.name()}:${flag}) compadd -- ${values.join(" ")}; return ;;`,
    ),
  )
  .join("\n")}
  esac
  case "$words[2]:$PREFIX" in
${verbs.map((each) => `    ${each.name()}:-*) compadd -- ${flags(each).join(" ")}; return ;;`).join("\n")}
    completion:*) compadd -- bash zsh fish; return ;;
  esac
  if (( CURRENT == 4 )); then
    case "$words[2]" in
${Object.entries(WORDS)
  .map(([verb, words]) => `      ${verb}) compadd -- ${words}; return ;;`)
  .join("\n")}
    esac
  fi
  _files
}
compdef _emmap emmap
`,
  fish: (verbs) =>
    [
      ...verbs.map((each) => {
        const text = each.description().replaceAll("'", "\\'");
        return `complete -c emmap -n __fish_use_subcommand -f -a ${each.name()} -d '${text}'`;
      }),
      ...verbs.flatMap((each) =>
        each.options.map(
          ({ long, description, argChoices }) =>
            `complete -c emmap -n '__fish_seen_subcommand_from ${each.name()}' -l ${long?.slice(2)} ` +
            `${argChoices === undefined ? "" : `-x -a '${argChoices.join(" ")}' `}-d '${description.replaceAll("'", "\\'")}'`,
        ),
      ),
      ...Object.entries(WORDS).map(
        ([verb, words]) =>
          `complete -c emmap -n '__fish_seen_subcommand_from ${verb}; and test (count (commandline -opc)) -eq 3' -f -a '${words}'`,
      ),
      "complete -c emmap -n '__fish_seen_subcommand_from completion' -f -a 'bash zsh fish'",
      "",
    ].join("\n"),
};

export function completion(shell: string, emmap: Command): void {
  const script = SHELLS[shell];
  if (script === undefined)
    throw new Failure(`there is completion for bash, zsh and fish, and not for ${shell}`, Status.usage);
  print(script(emmap.commands));
}
