// The documentation as a site: `node scripts/docs-site.mjs MDBOOK OUTPUT`, which `make docs` calls.
//
// The Markdown stays as it is in the repository. A copy of it is laid out as the repository is, so that every relative link leads
// where it led; pages that docs/SUMMARY.md does not name (packs, commands, what a page links to elsewhere) are added to its
// navigation. mdBook renders that. Then every link and anchor of the site is followed: one that leads nowhere, or that would ask
// another machine for a part of a page, fails the build.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [mdbook, output] = process.argv.slice(2);
if (!output) fail(['usage: node scripts/docs-site.mjs MDBOOK OUTPUT']);
const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const stage = path.join(repository, 'target/docs-book');
/** Folders whose pages are sub-pages of the one in the navigation that lists them. */
const LISTED_BY = { 'docs/packs': 'docs/packs/README.md', 'docs/commands': 'docs/commands/README.md' };

function fail(problems) {
  for (const problem of problems) console.error(`docs: ${problem}`);
  process.exit(1);
}

const read = (file) => fs.readFileSync(path.join(repository, file), 'utf8');
const isFolder = (file) => fs.statSync(path.join(repository, file)).isDirectory();
const title = (text, otherwise) => /^# (.+)$/m.exec(text)?.[1].replaceAll('`', '') ?? otherwise;

/** Files of the repository that a page links to; code is no link. */
function links(page, text) {
  const prose = text.replace(/^```.*?^```/gms, '').replace(/`[^`\n]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target.split('#')[0])
    .filter((target) => target && !/^[a-z]+:/.test(target))
    .map((target) => path.posix.join(path.posix.dirname(page), decodeURI(target)).replace(/\/$/, ''));
}

/** A page for a folder: the files in it, whole. */
function folderPage(folder) {
  const files = execFileSync('git', ['ls-files', folder], { cwd: repository, encoding: 'utf8' }).trim().split('\n');
  const shown = files.map((file) => {
    const language = { '.go': 'go', '.yaml': 'yaml', '.mod': 'text', '.sh': 'sh' }[path.extname(file)] ?? 'text';
    return `## ${path.posix.relative(folder, file)}\n\n\`\`\`\`${language}\n${read(file)}\`\`\`\`\n`;
  });
  return `# ${folder}\n\n${shown.join('\n')}`;
}

/** Everything that the navigation leads to, and what that links to: Markdown by its path in the site, other files as they are. */
function gather(roots) {
  const pages = new Map();
  const files = new Set();
  const missing = [];
  const waiting = roots.map((target) => ({ target, from: 'docs/SUMMARY.md' }));
  while (waiting.length > 0) {
    const { target, from } = waiting.pop();
    if (pages.has(target) || files.has(target)) continue;
    if (!fs.existsSync(path.join(repository, target))) missing.push(`${from}: no ${target}`);
    else if (isFolder(target)) pages.set(`${target}/README.md`, folderPage(target));
    else if (!target.endsWith('.md')) files.add(target);
    else {
      const text = read(target);
      pages.set(target, text);
      waiting.push(...links(target, text).map((linked) => ({ target: linked, from: target })));
    }
  }
  if (missing.length > 0) fail(missing);
  return { pages, files };
}

/** docs/SUMMARY.md with the pages that it does not name, and paths from the top of the repository. */
function navigation(summary, pages) {
  const named = new Set(links('docs/SUMMARY.md', summary));
  const others = [...pages.keys()].filter((page) => !named.has(page)).sort();
  const entry = (page, depth) => `${'  '.repeat(depth)}- [${title(pages.get(page), page)}](${page})`;
  // What may surprise with a pack lies beside it.
  const surprises = (page) => [page.replace(/^docs\/packs\/(.+)\.md$/, 'packs/$1/README.md')].filter((readme) => readme !== page && pages.has(readme));
  const lines = summary.split('\n').flatMap((line) => {
    const [, indent, target] = /^( *)(?:- )?\[.*\]\((.+)\)$/.exec(line) ?? [];
    if (!target) return [line];
    const page = path.posix.normalize(path.posix.join('docs', target));
    const below = others.filter((other) => LISTED_BY[path.posix.dirname(other)] === page);
    const depth = indent.length / 2 + 1;
    const own = below.flatMap((other) => [entry(other, depth), ...surprises(other).map((readme) => entry(readme, depth + 1))]);
    return [line.replace(`(${target})`, `(${page})`), ...own];
  });
  const rest = others.filter((other) => !LISTED_BY[path.posix.dirname(other)] && !/^packs\/[^/]+\/README\.md$/.test(other));
  const stray = rest.filter((page) => /^docs\/[^/]+\.md$/.test(page));
  if (stray.length > 0) fail(stray.map((page) => `${page} is not in docs/SUMMARY.md`));
  return [...lines, '# Beside the sources', '', ...rest.map((page) => entry(page, 0))].join('\n');
}

/** mdBook makes index.html of a README and does not tell the links to it, or to its folder. */
function forBook(page, text, pages) {
  return text.replace(/\]\(([^)\s#]+)(#[^)\s]*)?\)/g, (whole, target, anchor = '') => {
    if (/^[a-z]+:/.test(target)) return whole;
    const folder = target.replace(/(^|\/)(README\.md)?$/, '') || '.';
    const readme = path.posix.normalize(path.posix.join(path.posix.dirname(page), folder, 'README.md'));
    return pages.has(readme) ? `](${folder}/index.html${anchor})` : whole;
  });
}

function write(file, text) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

function layOut() {
  const summary = read('docs/SUMMARY.md');
  const docs = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'docs'], { cwd: repository, encoding: 'utf8' });
  const own = docs.trim().split('\n').filter((file) => file.endsWith('.md') && file !== 'docs/SUMMARY.md');
  const { pages, files } = gather([...links('docs/SUMMARY.md', summary), ...own]);
  fs.rmSync(stage, { recursive: true, force: true });
  for (const [page, text] of pages) write(path.join(stage, 'src', page), forBook(page, text, pages));
  for (const file of files) write(path.join(stage, 'src', file), read(file));
  write(path.join(stage, 'src/SUMMARY.md'), navigation(summary, pages));
  for (const file of ['book.toml', 'site.css']) write(path.join(stage, file), read(`docs/${file}`));
}

/** What is wrong with the links of the site. */
function broken(site) {
  const files = fs.readdirSync(site, { recursive: true }).map((file) => file.split(path.sep).join('/'));
  const pages = files.filter((file) => file.endsWith('.html') && !['toc.html', '404.html', 'print.html'].includes(file));
  const html = new Map(pages.map((page) => [page, fs.readFileSync(path.join(site, page), 'utf8')]));
  const anchors = new Map([...html].map(([page, text]) => [page, new Set([...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id))]));
  const exists = new Set(files);
  const problems = [];
  for (const [page, text] of html) {
    for (const [, tag, name, value] of text.matchAll(/<(\w+)[^>]*?\s(href|src)="([^"]*)"/g)) {
      const isOther = /^(https?:)?\/\//.test(value);
      if (isOther && tag !== 'a') problems.push(`${page}: <${tag} ${name}> asks ${value}`);
      if (isOther || /^[a-z]+:/.test(value) || !value) continue;
      const [target, anchor] = decodeURI(value).split('#');
      const file = target ? path.posix.normalize(path.posix.join(path.posix.dirname(page), target)) : page;
      if (!exists.has(file)) problems.push(`${page}: no ${file}`);
      else if (anchor && anchors.has(file) && !anchors.get(file).has(anchor)) problems.push(`${page}: no #${anchor} in ${file}`);
    }
  }
  return problems;
}

layOut();
execFileSync(mdbook, ['build', stage, '--dest-dir', path.resolve(output)], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, MDBOOK_LOG: 'warn' } });
const problems = broken(path.resolve(output));
if (problems.length > 0) fail(problems);
console.log(`docs: ${path.join(output, 'index.html')}`);
