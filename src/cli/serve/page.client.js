// The live part of the page. Texts of files and messages only ever become text nodes.
"use strict";
(() => {
  const KEPT = 150;
  const find = (selector) => document.querySelector(selector);
  const past = {};
  let files = [];
  let opened = location.hash.length > 1 ? decodeURIComponent(location.hash.slice(1)) : undefined;
  let form = "erlang";
  let wanted = "";

  /** An element with attributes and children; strings become text. */
  const make = (name, attributes = {}, ...children) => {
    const isDrawing = ["svg", "path"].includes(name);
    const element = isDrawing
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes))
      if (key === "onclick") element.addEventListener("click", value);
      else if (value !== undefined) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  const short = (number) => {
    if (number === undefined || number === null) return "";
    if (number < 100000)
      return number >= 100 || Number.isInteger(number) ? String(Math.round(number)) : number.toFixed(1);
    return Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(number);
  };
  const span = (seconds) => {
    if (seconds === undefined) return "";
    if (seconds < 60) return `over ${Math.floor(seconds)} s`;
    return seconds < 3600 ? `over ${Math.floor(seconds / 60)} min` : `over ${Math.floor(seconds / 3600)} h`;
  };
  const time = (ms) => (ms === undefined ? "" : new Date(ms).toLocaleString());

  const note = (list) => {
    for (const { path, amount, pushed, popped } of list) {
      past[path] ??= { depth: [], pushed: [], popped: [] };
      const own = past[path];
      own.depth.push(amount ?? null);
      own.pushed.push(pushed);
      own.popped.push(popped);
      for (const each of [own.depth, own.pushed, own.popped]) if (each.length > KEPT) each.shift();
    }
  };

  /** A line of numbers in a box of 100 by 20, the newest at the right. */
  const lineOf = (numbers, most) =>
    numbers
      .map((number, at) =>
        number === null
          ? ""
          : `${at === 0 || numbers[at - 1] === null ? "M" : "L"}${(100 - ((numbers.length - 1 - at) * 100) / (KEPT - 1)).toFixed(1)},${(20 - (number / most) * 19).toFixed(1)}`,
      )
      .join("");

  const chart = (title, unit, lines) => {
    const all = lines.flatMap(({ numbers }) => numbers).filter((number) => number !== null);
    const most = Math.max(1, ...all);
    const now = lines
      .map(({ name, numbers }) => `${name ? `${name} ` : ""}${short(numbers.at(-1) ?? 0)}${unit}`)
      .join(", ");
    const label = `${title}: now ${now}; at most ${short(most)}${unit} in the last minutes`;
    const drawing = make(
      "svg",
      { viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img", "aria-label": label },
      ...lines.map(({ numbers, out }) =>
        make("path", { d: lineOf(numbers, most), class: out ? "out" : undefined }),
      ),
    );
    return { drawing, label };
  };

  const charts = (path) => {
    const { depth, pushed, popped } = past[path] ?? { depth: [], pushed: [], popped: [] };
    const parts = [
      chart("Depth", "", [{ numbers: depth }]),
      chart("Rates", "/s", [
        { name: "in", numbers: pushed },
        { name: "out", numbers: popped, out: true },
      ]),
    ];
    return make(
      "div",
      { class: "charts" },
      ...parts.map(({ drawing, label }) => make("figure", {}, drawing, make("figcaption", {}, label))),
    );
  };

  /** A path without the folder that all files share. */
  const nameOf = (path) => {
    const folders = files.map((each) => each.path.slice(0, each.path.lastIndexOf("/") + 1));
    const shared = folders.reduce((one, other) => {
      while (!other.startsWith(one)) one = one.slice(0, one.lastIndexOf("/", one.length - 2) + 1);
      return one;
    }, folders[0] ?? "");
    return path.slice(shared.length);
  };

  const order = (one, other) =>
    (other.trouble !== undefined) - (one.trouble !== undefined) || (one.path < other.path ? -1 : 1);

  const showFiles = () => {
    const focused = document.activeElement?.dataset?.path;
    const shown = files.filter(({ path }) => path.toLowerCase().includes(wanted)).sort(order);
    find("#files tbody").replaceChildren(
      ...shown.map((file) => {
        const isQueue = file.kind === "queue";
        const button = make(
          "button",
          {
            class: "name",
            type: "button",
            "data-path": file.path,
            title: file.path,
            onclick: () => open(file.path),
          },
          nameOf(file.path),
        );
        const cells = [
          file.kind,
          short(file.amount ?? file.used),
          isQueue || file.kind === "blocks"
            ? chart("Depth", "", [{ numbers: past[file.path]?.depth ?? [] }]).drawing
            : "",
          isQueue ? short(file.pushed) : "",
          isQueue ? short(file.popped) : "",
          file.inHand ?? "",
          span(file.oldest),
          file.open ?? "not known",
          file.waiters ?? "",
          file.trouble ?? "",
        ];
        return make(
          "tr",
          { class: file.trouble === undefined ? undefined : "trouble" },
          make("th", { scope: "row" }, button),
          ...cells.map((cell) => make("td", {}, typeof cell === "number" ? String(cell) : cell)),
        );
      }),
    );
    if (focused !== undefined)
      for (const each of document.querySelectorAll("button.name"))
        if (each.dataset.path === focused) each.focus();
    const troubles = files.filter(({ trouble }) => trouble !== undefined).length;
    const text = `${files.length} ${files.length === 1 ? "file" : "files"}, ${troubles === 0 ? "none" : troubles} in trouble`;
    if (find("#status").textContent !== text) find("#status").textContent = text;
    document.title = troubles === 0 ? "emmap" : `(${troubles}) emmap`;
  };

  const words = (caption, head, rows) =>
    make(
      "div",
      { class: "wide" },
      make(
        "table",
        { class: "words" },
        make("caption", {}, caption),
        make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
        make(
          "tbody",
          {},
          ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, String(cell ?? ""))))),
        ),
      ),
    );

  const titles = {
    queue: "Messages",
    counters: "Counters",
    blocks: "Blocks",
    cell: "Value",
    table: "Keys",
    metrics: "Metrics",
  };
  const hasMessages = (kind) => kind === "queue" || kind === "cell";

  /** Shows the file that is open. The list of messages is replaced only if it has changed, so that it can be read. */
  const showFile = async (isNew) => {
    const path = opened;
    const section = find("#file");
    if (path === undefined) {
      section.hidden = true;
      return;
    }
    const answer = await fetch(`/api/file?path=${encodeURIComponent(path)}&as=${form}`).catch(
      () => undefined,
    );
    if (path !== opened) return;
    const file = answer?.ok ? await answer.json() : undefined;
    const sample = files.find((each) => each.path === path);
    const focused = section.contains(document.activeElement) ? document.activeElement.id : undefined;
    const close = make("button", { type: "button", id: "close", onclick: () => open(undefined) }, "Close");
    const parts = [make("header", {}, make("h2", {}, path), close)];
    if (file === undefined) parts.push(make("p", {}, "This file is gone, or may not be read."));
    else {
      if (sample?.trouble !== undefined) parts.push(make("p", { class: "trouble" }, sample.trouble));
      if (file.lock !== undefined)
        parts.push(make("p", {}, `Lock: ${file.lock}${file.lock_awaited ? ", others wait for it" : ""}.`));
      if (file.kind === "queue" || file.kind === "blocks") parts.push(charts(path));
      parts.push(make("h3", {}, "Who is there"));
      const command = (id) => file.processes.find(({ process }) => process === id);
      const writers = file.writers.map((each) => [
        each.process,
        command(each.process)?.command ?? each.program,
        time(each.since),
        each.pushed,
        each.popped,
        each.waiting,
        [
          command(each.process)?.state,
          each.has_lock && "has the lock",
          each.is_popping && "has the first message in hand",
        ]
          .filter(Boolean)
          .join(", "),
      ]);
      const others = file.processes.filter(
        ({ process }) => !file.writers.some((each) => each.process === process),
      );
      if (writers.length > 0)
        parts.push(
          words(
            "Handles that may write",
            ["Process", "Command", "Since", "Pushed", "Popped", "Waiting", "Now"],
            writers,
          ),
        );
      if (others.length > 0)
        parts.push(
          words(
            "Other processes",
            ["Process", "Command", "Since", "May", "Now"],
            others.map((each) => [
              each.process,
              each.command ?? each.program,
              time(each.since),
              each.writes ? "write" : "read",
              each.state,
            ]),
          ),
        );
      if (writers.length + others.length === 0)
        parts.push(make("p", {}, "Nobody has it open, as far as this user may see."));
      if (file.deliveries.length > 0)
        parts.push(
          words(
            "Messages in hand",
            ["Since", "Attempt", "Bytes", "Process", "Program", "Now"],
            file.deliveries.map((each) => [
              time(each.since),
              each.attempt,
              each.size,
              each.released ? "" : each.process,
              each.program,
              each.released ? "released" : each.alive ? "in hand" : "its owner has died",
            ]),
          ),
        );
      if (titles[file.kind] !== undefined) {
        parts.push(make("h3", {}, titles[file.kind]));
        if (hasMessages(file.kind))
          parts.push(
            make(
              "p",
              { role: "group", "aria-label": "How messages are shown" },
              ...["erlang", "json"].map((each) =>
                make(
                  "button",
                  {
                    type: "button",
                    id: each,
                    "aria-pressed": String(each === form),
                    onclick: () => {
                      form = each;
                      showFile(false);
                    },
                  },
                  each === "json" ? "JSON" : "Erlang",
                ),
              ),
            ),
          );
        parts.push(
          file.failed !== undefined
            ? make("p", { class: "trouble" }, file.failed)
            : file.inside.length === 0
              ? make("p", {}, "There are none.")
              : make(
                  "ol",
                  { "aria-label": titles[file.kind] },
                  ...file.inside.map((each) => make("li", {}, each)),
                ),
        );
      }
    }
    section.setAttribute("aria-label", path);
    section.replaceChildren(...parts);
    section.hidden = false;
    if (focused) find(`#${focused}`)?.focus();
    if (isNew) section.focus();
  };

  const open = (path) => {
    const before = opened;
    opened = path;
    history.replaceState(null, "", path === undefined ? " " : `#${encodeURIComponent(path)}`);
    showFile(true);
    if (path === undefined)
      for (const each of document.querySelectorAll("button.name"))
        if (each.dataset.path === before) each.focus();
  };

  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened !== undefined) open(undefined);
    if (event.key === "/" && event.target.tagName !== "INPUT") {
      event.preventDefault();
      find("#search input").focus();
    }
  });

  find("#search").hidden = false;
  find("#search input").addEventListener("input", (event) => {
    wanted = event.target.value.toLowerCase();
    showFiles();
  });

  fetch("/api/history")
    .then((answer) => answer.json())
    .then((found) => Object.assign(past, found))
    .catch(() => {})
    .then(() => {
      const events = new EventSource("/events");
      events.onmessage = ({ data }) => {
        files = JSON.parse(data);
        note(files);
        showFiles();
        showFile(false);
      };
      events.onerror = () => {
        find("#status").textContent = "emmap serve does not answer; trying again";
      };
    });
})();
