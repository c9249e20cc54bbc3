// The page as it is sent: with a table that works without a script.
import type { Sample } from "../sample.js";
import { bytes, safe, short, span } from "../text.js";
import script from "./page.client.js";
import style from "./page.css";
import frame from "./page.html";

const ENTITIES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

const escaped = (text: string): string => safe(text).replace(/[&<>"']/g, (each) => ENTITIES[each] as string);

function row(sample: Sample): string {
  const { path, kind, amount, used, pushed, popped, inHand, oldest, open, waiters, trouble, inspection } =
    sample;
  const isQueue = kind === "queue";
  const cells = [
    kind,
    amount === undefined ? (used === undefined ? "" : `${bytes(used)}B`) : short(amount),
    "",
    isQueue ? short(pushed) : "",
    isQueue ? short(popped) : "",
    inHand === undefined ? "" : String(inHand),
    oldest === undefined ? "" : `over ${span(oldest)}`,
    open === undefined ? (inspection.sharing ?? "") : String(open),
    waiters === undefined ? "" : String(waiters),
    trouble ?? "",
  ];
  return `<tr${trouble === undefined ? "" : ' class="trouble"'}><th scope="row">${escaped(path)}</th>${cells
    .map((cell) => `<td>${escaped(cell)}</td>`)
    .join("")}</tr>`;
}

export function page(samples: readonly Sample[], nonce: string): string {
  return frame
    .replaceAll("{{nonce}}", nonce)
    .replace("/*style*/", () => style)
    .replace("/*script*/", () => script)
    .replace("<!--rows-->", () => samples.map(row).join("\n"));
}
