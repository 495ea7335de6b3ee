// Asks, for each line that it reads: `http URL`, with connections that are kept, or `dns NAME PORT` of a server here.
const http = require('http');
const dns = require('dns');

const agent = new http.Agent({ keepAlive: true });
console.log('ready');
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [what, name, port] = line.split(' ');
  if (what === 'http') {
    http.get(name, { agent }, (answer) => answer.resume().on('end', () => console.log('done')));
  } else {
    const resolver = new dns.Resolver();
    resolver.setServers([`127.0.0.1:${port}`]);
    resolver.resolve4(name, (error) => console.log(error ? 'failed' : 'done'));
  }
});
