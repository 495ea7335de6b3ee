// Fails when the built page is larger than promised: 200 KB compressed.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMIT = 200 * 1024;
const files = readdirSync('dist', { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
const size = files.reduce((sum, file) => sum + gzipSync(readFileSync(`${file.parentPath}/${file.name}`)).length, 0);
console.log(`page: ${(size / 1024).toFixed(1)} KB compressed, of ${LIMIT / 1024}`);
process.exit(size > LIMIT ? 1 : 0);
