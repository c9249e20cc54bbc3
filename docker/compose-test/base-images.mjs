// The base images of the Dockerfiles: the official ones or, if no registry can be reached, images that are made here from Debian
// packages and this machine's Node.
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { installed, NoEngine } from "./engine.mjs";
import { run, works } from "./run.mjs";

const SUITE = "bookworm";
const OFFICIAL = {
  DEBIAN_IMAGE: "debian:bookworm-slim",
  NODE_IMAGE: "node:24-slim",
  ERLANG_IMAGE: "erlang:27-slim",
};

/** Returns the images for these variables. Adds the steps that remove the images that it made to `undo`. */
export async function baseImages(engine, undo) {
  const docker = (args, options) => run("docker", args, { env: engine.env, ...options });
  const chosen = Object.fromEntries(
    Object.entries(OFFICIAL).map(([name, image]) => [name, process.env[name] || image]),
  );
  const missing = [];
  for (const [name, image] of Object.entries(chosen)) {
    if (await works("docker", ["image", "inspect", image], { env: engine.env })) continue;
    console.log(`compose-test: pulling ${image}`);
    const pulled = await docker(["pull", image]).catch((error) => error);
    if (!(pulled instanceof Error)) continue;
    console.log(`compose-test: ${pulled.output?.trim() ?? pulled.message}`);
    missing.push(name);
  }
  if (missing.length === 0) return chosen;

  console.log(
    `compose-test: no registry gives us ${missing.map((name) => chosen[name]).join(" and ")}; making our own`,
  );
  const tag = `emmap-test-${process.pid}`;
  const debian = `debian:${tag}`;
  const made = [debian];
  undo.push(async () => {
    for (const image of made.reverse()) await works("docker", ["image", "rm", image], { env: engine.env });
  });
  await docker(["import", await rootFileSystem(), debian]);
  for (const name of missing) {
    chosen[name] = await MAKE[name](docker, debian, tag);
    if (chosen[name] !== debian) made.push(chosen[name]);
  }
  return chosen;
}

/** Makes a minimal Debian as a tar file. This takes half a minute, so the file is kept for the next time. */
async function rootFileSystem() {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "emmap");
  const tar = join(cache, `debian-${SUITE}-${process.arch}.tar.gz`);
  if (existsSync(tar)) return tar;
  if (process.getuid?.() !== 0) throw new NoEngine("making base images from Debian packages takes root");
  await installed("base-images");
  const folder = mkdtempSync(join(tmpdir(), "emmap-debian-"));
  try {
    const root = join(folder, "root");
    console.log(`compose-test: debootstrap ${SUITE}`);
    await run("debootstrap", ["--variant=minbase", "--include=ca-certificates", SUITE, root]);
    for (const part of [
      "cache/apt/archives",
      "cache/apt/pkgcache.bin",
      "cache/apt/srcpkgcache.bin",
      "lib/apt/lists",
    ])
      rmSync(join(root, "var", part), { recursive: true, force: true });
    mkdirSync(cache, { recursive: true });
    const unfinished = `${tar}.${process.pid}`;
    await run("tar", ["-C", root, "-czf", unfinished, "."]);
    renameSync(unfinished, tar);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return tar;
}

/** Builds an image in a folder of its own. `prepare` puts the files there. */
async function build(docker, image, lines, prepare = () => {}) {
  const context = mkdtempSync(join(tmpdir(), "emmap-image-"));
  try {
    prepare(context);
    writeFileSync(join(context, "Dockerfile"), `${lines.join("\n")}\n`);
    await docker(["build", "--quiet", "--network", "host", "--tag", image, context]);
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}

async function nodeImage(docker, debian, tag) {
  const image = `node:${tag}`;
  const prefix = resolve(dirname(process.execPath), "..");
  const npm = join(await run("npm", ["root", "--global"]), "npm");
  const registry = await run("npm", ["config", "get", "registry"]);
  const headers = join(prefix, "include/node");
  // Downloads use this machine's registry and trust its certificates.
  const certificates = process.env.NODE_EXTRA_CA_CERTS || "/etc/ssl/certs/ca-certificates.crt";
  const lines = [
    `FROM ${debian}`,
    "COPY root /",
    "RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm",
    `ENV npm_config_registry=${registry} NODE_EXTRA_CA_CERTS=/etc/ssl/certs/this-machine.crt`,
  ];
  await build(docker, image, lines, (context) => {
    const into = (place) => join(context, "root", place);
    cpSync(process.execPath, into("usr/local/bin/node"));
    cpSync(npm, into("usr/local/lib/node_modules/npm"), { recursive: true, dereference: true });
    if (existsSync(headers)) cpSync(headers, into("usr/local/include/node"), { recursive: true });
    mkdirSync(into("etc/ssl/certs"), { recursive: true });
    if (existsSync(certificates)) cpSync(certificates, into("etc/ssl/certs/this-machine.crt"));
    else writeFileSync(into("etc/ssl/certs/this-machine.crt"), "");
  });
  return image;
}

async function erlangImage(docker, debian, tag) {
  const image = `erlang:${tag}`;
  await build(docker, image, [
    `FROM ${debian}`,
    "RUN apt-get update && apt-get install -y --no-install-recommends erlang-base && rm -rf /var/lib/apt/lists/*",
  ]);
  return image;
}

/** Makes each image from the minimal Debian. */
const MAKE = {
  DEBIAN_IMAGE: async (_docker, debian) => debian,
  NODE_IMAGE: nodeImage,
  ERLANG_IMAGE: erlangImage,
};
