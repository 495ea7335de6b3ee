// `server`: answers calls of gRPC by HTTP/2. `client PORT`: calls it, for each line that it reads.
const http2 = require('http2');

if (process.argv[2] === 'server') {
  const server = http2.createServer();
  server.on('stream', (stream, headers) => {
    if (headers['content-type'] !== 'application/grpc') {
      stream.respond({ ':status': 404 });
      return stream.end('no');
    }
    const bad = headers[':path'].endsWith('/Bad');
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': bad ? '13' : '0' }));
    stream.resume();
    stream.on('end', () => stream.end(Buffer.alloc(20000)));
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
} else {
  console.log('ready');
  let session;
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    session ??= http2.connect(`http://127.0.0.1:${process.argv[3]}`);
    const [path, type] = line.split(' ');
    const call = session.request({ ':method': 'POST', ':path': path, 'content-type': type ?? 'application/grpc' });
    call.end(Buffer.alloc(8));
    call.resume();
    call.on('end', () => console.log('done'));
  });
}
