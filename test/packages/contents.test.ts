// The contents of the npm package. No package is packed without an addon for each of its platforms.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { targets } from "../../scripts/addon-targets.mjs";
import { failure, freshFolder, installNpm, packNpm, root, run } from "./support/user";

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

test("the npm package contains these files, nothing more, nothing less", async () => {
  const { files, size, unpackedSize } = packNpm(freshFolder());
  const list = files.map(({ path }) => path).sort();
  // After an intended change: npm run test:packages -- contents -u
  await expect(`${list.join("\n")}\n`).toMatchFileSnapshot("contents.txt");
  // The command, with its libraries, has a limit of its own. Text compresses as well alone as among other files.
  const command = files.filter(({ path }) => path.startsWith("dist/cli/"));
  const unpackedCommand = command.reduce((sum, { size }) => sum + size, 0);
  const packedCommand = command
    .map(({ path }) => gzipSync(readFileSync(join(root, path)), { level: 9 }).length)
    .reduce((sum, each) => sum + each, 0);
  console.log(`the library: ${size - packedCommand} bytes packed, the command: ${packedCommand}`);
  expect(packedCommand).toBeLessThan(100 * 1024);
  expect(unpackedCommand).toBeLessThan(280 * 1024);
  expect(size - packedCommand).toBeLessThan(840 * 1024);
  expect(unpackedSize - unpackedCommand).toBeLessThan(2.85 * 1024 * 1024);
});

test("the command comes with the licences of the libraries in it", () => {
  const licences = readFileSync(join(root, "dist/cli/LICENSES.txt"), "utf8");
  for (const name of ["commander", "prom-client"])
    expect(licences).toMatch(new RegExp(`^${name} \\d+\\.`, "m"));
  expect(licences).toContain("Permission is hereby granted");
  expect(licences).toContain("Apache License");
  expect(manifest.dependencies).toBe(undefined);
  expect(manifest.bin).toEqual({ emmap: "./dist/cli/emmap.js" });
});

test.each(["README.md", "CHANGELOG.md"])("the links of the packed %s work without the repository", (page) => {
  const targets = [...readFileSync(join(root, page), "utf8").matchAll(/\]\(([^()\s]+)\)/g)].map(
    ([, to]) => to,
  );
  expect(targets.filter((to) => !/^(https:|#)/.test(to as string))).toEqual([]);
});

test("it says where it runs and where it comes from", () => {
  expect(manifest).toMatchObject({
    license: "Apache-2.0",
    engines: { node: ">=20" },
    os: ["linux", "darwin"],
    cpu: ["x64", "arm64"],
    publishConfig: { access: "public", provenance: true },
    repository: { type: "git", url: expect.stringMatching(/^git\+https:.*emmap\.git$/) },
  });
  expect(manifest.bugs).toMatch(/issues$/);
  expect(manifest.homepage).toMatch(/#readme$/);
});

test("the code knows the package's version", () => {
  expect(readFileSync(join(root, "src/version.ts"), "utf8")).toContain(`"${manifest.version}"`);
});

test("the changelog tells of this version, and of changes that no version has yet", () => {
  const changelog = readFileSync(join(root, "CHANGELOG.md"), "utf8");
  expect(changelog).toMatch(/^## \[Unreleased\]$/m);
  const versions = [...changelog.matchAll(/^## \[(\d.*?)\](.*)$/gm)];
  for (const [, version, date] of versions) {
    expect(version).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
    expect(date).toMatch(/^ - \d{4}-\d{2}-\d{2}$/);
  }
  const kinds = [...changelog.matchAll(/^### (.*)$/gm)].map(([, kind]) => kind);
  for (const kind of kinds)
    expect(["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]).toContain(kind);
  expect(manifest.version).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
});

test.each(targets.map(({ name }) => name))("it is not packed without the addon for %s", (name) => {
  const folder = freshFolder();
  for (const part of ["package.json", "scripts", "prebuilds"])
    cpSync(join(root, part), join(folder, part), { recursive: true });
  rmSync(join(folder, "prebuilds", name), { recursive: true });
  const message = failure("npm", ["pack"], folder);
  expect(message).toContain(`${join("prebuilds", name, "emmap.node")} is missing`);
  expect(message).toContain("npm run build:prebuilds");
});

test("npm takes nothing in it for something to build", () => {
  const folder = freshFolder();
  const builds = (name: string): unknown => {
    const lock = JSON.parse(readFileSync(join(folder, "node_modules", ".package-lock.json"), "utf8"));
    return lock.packages[`node_modules/${name}`].hasInstallScript;
  };
  installNpm(packNpm(folder).filename, folder);
  expect(builds("emmap")).toBe(undefined);

  // Otherwise npm would take a binding.gyp in the first folder for an install script.
  const other = join(folder, "other");
  mkdirSync(other);
  writeFileSync(join(other, "package.json"), '{ "name": "other", "version": "1.0.0" }');
  writeFileSync(join(other, "binding.gyp"), '{ "targets": [{ "target_name": "other", "type": "none" }] }');
  const { filename } = packNpm(folder, other);
  run("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", filename], folder);
  expect(builds("other")).toBe(true);
});
