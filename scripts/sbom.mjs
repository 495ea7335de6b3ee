// What is inside of the binary, as a CycloneDX 1.6 document on standard output: crates, C libraries that crates bring along,
// npm packages of the page. The Go code in it is our own and imports only Go's standard library, which the machine that
// weaves has itself; a package file with requirements would be told here.
//
//   node scripts/sbom.mjs BINARY

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const target = "x86_64-unknown-linux-musl";
const run = (...command) => execFileSync(command[0], command.slice(1), { encoding: "utf8", maxBuffer: 1 << 28 });
const binary = readFileSync(process.argv[2]);
const sha256 = createHash("sha256").update(binary).digest("hex");

const metadata = JSON.parse(run("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target, "--features", "tandem/static"));
const packages = new Map(metadata.packages.map((one) => [one.id, one]));
const checksums = new Map(
  readFileSync("Cargo.lock", "utf8").split("[[package]]").map((block) => {
    const field = (name) => block.match(new RegExp(`^${name} = "(.*)"$`, "m"))?.[1];
    return [`${field("name")}@${field("version")}`, field("checksum")];
  }),
);
const reference = (one) => `pkg:cargo/${one.name}@${one.version}`;
// What goes into the program: neither what only tests nor what only builds use.
const nodes = new Map(metadata.resolve.nodes.map((node) => [node.id, node]));
const root = metadata.packages.find((one) => one.name === "tandem" && one.source === null);
const linked = new Map();
const visit = (id) => {
  if (linked.has(id)) return;
  const used = nodes.get(id).deps.filter((dep) => dep.dep_kinds.some((kind) => kind.kind === null)).map((dep) => dep.pkg);
  linked.set(id, used);
  used.forEach(visit);
};
visit(root.id);

const licences = (text) => (text ? [{ expression: text.replace(/\s*\/\s*|\s+OR\s+/g, " OR ") }] : []);
const components = [];
for (const id of linked.keys()) {
  const one = packages.get(id);
  if (id === root.id) continue;
  const checksum = checksums.get(`${one.name}@${one.version}`);
  components.push({
    type: "library",
    "bom-ref": reference(one),
    name: one.name,
    version: one.version,
    purl: one.source ? reference(one) : undefined,
    description: one.description?.trim().replace(/\s+/g, " "),
    licenses: licences(one.license),
    hashes: checksum ? [{ alg: "SHA-256", content: checksum }] : undefined,
  });
}

// C libraries, with the versions that their sources say.
const folderOf = (name) => dirname(metadata.packages.find((one) => one.name === name).manifest_path);
const read = (...path) => readFileSync(join(...path), "utf8");
const kernel = folderOf("libbpf-sys");
const sqlite = read(folderOf("libsqlite3-sys"), "sqlite3", "sqlite3.h").match(/#define SQLITE_VERSION\s+"(.*)"/)[1];
const libbpf = ["MAJOR", "MINOR"].map((part) => read(kernel, "libbpf", "src", "libbpf_version.h").match(new RegExp(`LIBBPF_${part}_VERSION (\\d+)`))[1]);
const within = (crate, name, version, expression, purl) => {
  const one = metadata.packages.find((candidate) => candidate.name === crate);
  const ref = `${reference(one)}#${name}`;
  components.push({ type: "library", "bom-ref": ref, name, version, purl, licenses: licences(expression) });
  return [reference(one), ref];
};
const contained = [
  within("libbpf-sys", "libbpf", libbpf.join("."), "LGPL-2.1-only OR BSD-2-Clause", `pkg:github/libbpf/libbpf@v${libbpf.join(".")}`),
  within("libbpf-sys", "elfutils", read(kernel, "elfutils", "configure.ac").match(/AC_INIT\(\[elfutils\],\[([^\]]*)\]/)[1], "GPL-2.0-or-later OR LGPL-3.0-or-later", undefined),
  within("libbpf-sys", "zlib", read(kernel, "zlib", "zlib.h").match(/#define ZLIB_VERSION "(.*)"/)[1], "Zlib", undefined),
  within("libsqlite3-sys", "sqlite", sqlite, "blessing", undefined),
];

// The page's packages: what ends up in the bundle, not the tools that make it.
const lock = JSON.parse(read("web", "package-lock.json"));
const direct = new Set(Object.keys(lock.packages[""].dependencies ?? {}));
const page = [];
for (const [path, one] of Object.entries(lock.packages)) {
  const name = path.split("node_modules/").pop();
  const bundled = path !== "" && (!one.dev || name === "svelte"); // svelte's own part of the bundle comes by its compiler
  if (!bundled && !direct.has(name)) continue;
  const ref = `pkg:npm/${name.replace("@", "%40")}@${one.version}`;
  const digest = one.integrity?.startsWith("sha512-") ? Buffer.from(one.integrity.slice(7), "base64").toString("hex") : undefined;
  components.push({ type: "library", "bom-ref": ref, name, version: one.version, purl: ref, licenses: licences(one.license), hashes: digest ? [{ alg: "SHA-512", content: digest }] : undefined });
  page.push(ref);
}

// Go code that is embedded has no requirements; were that to change, this says so.
const foreign = run("git", "ls-files", "go", "packs/*/hooks").split("\n").filter((path) => path.endsWith("go.mod"));
for (const path of foreign) {
  for (const [, name, version] of read(path).matchAll(/^\s*(?:require )?([\w./-]+\.[\w./-]+) (v[\w.+-]+)/gm)) {
    const ref = `pkg:golang/${name}@${version}`;
    components.push({ type: "library", "bom-ref": ref, name, version, purl: ref });
  }
}

const dependencies = [...linked].map(([id, used]) => ({
  ref: reference(packages.get(id)),
  dependsOn: [...used.map((other) => reference(packages.get(other))), ...contained.filter(([crate]) => crate === reference(packages.get(id))).map(([, ref]) => ref)].sort(),
}));
dependencies.find((one) => one.ref === reference(root)).dependsOn.push(...page);
const commit = process.env.TANDEM_COMMIT || undefined;
const time = process.env.SOURCE_DATE_EPOCH ? new Date(process.env.SOURCE_DATE_EPOCH * 1000) : new Date();
console.log(JSON.stringify({
  bomFormat: "CycloneDX",
  specVersion: "1.6",
  serialNumber: `urn:uuid:${[8, 4, 4, 4, 12].reduce(([parts, rest], length) => [[...parts, rest.slice(0, length)], rest.slice(length)], [[], sha256.slice(0, 12) + "5" + sha256.slice(13, 16) + "8" + sha256.slice(17, 32)])[0].join("-")}`,
  version: 1,
  metadata: {
    timestamp: time.toISOString().replace(/\.\d+Z$/, "Z"),
    component: {
      type: "application",
      "bom-ref": reference(root),
      name: "tandem",
      version: root.version,
      description: root.description,
      licenses: licences(root.license),
      hashes: [{ alg: "SHA-256", content: sha256 }],
      properties: commit ? [{ name: "commit", value: commit }] : undefined,
    },
  },
  components: components.sort((one, other) => (one["bom-ref"] < other["bom-ref"] ? -1 : 1)),
  dependencies,
}, null, 1));
