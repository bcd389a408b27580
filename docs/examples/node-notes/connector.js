// A connector in JavaScript, with nothing but Node's standard library.
//
// It takes short notes and writes them into the store that the core keeps for it, over the store's wire: facts,
// history, change feed and events are then the core's business. The contract with the core is docs/protocols.md: one
// line of JSON on stdin, one on stdout, and the end of stdin means that the core is gone.
'use strict';

const crypto = require('crypto');
const http = require('http');
const net = require('net');
const readline = require('readline');
const zlib = require('zlib');

const BODY_BYTES_MAX = 64 * 1024;
const FRAME_BYTES_MAX = 8 * 1024 * 1024;
const ANSWER_MS_MAX = 10000;
const PLAIN_KEY = /^[A-Za-z0-9_.-]{1,200}$/;

// zlib.crc32 is there from Node 20.15 on.
const TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit += 1) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes) {
  if (zlib.crc32) return zlib.crc32(bytes);
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 0xff];
  return (crc ^ -1) >>> 0;
}

// The store over its wire: a frame is the length of the body, the body as JSON, and the body's checksum.
class Store {
  constructor(path) {
    this.path = path;
    this.waiting = []; // requests in the order they were sent: answers come in that order
    this.received = Buffer.alloc(0);
    this.socket = null;
  }

  ask(request) {
    return new Promise((resolve, reject) => {
      if (!this.socket) this.connect();
      this.waiting.push({ resolve, reject });
      const body = Buffer.from(JSON.stringify(request));
      const frame = Buffer.alloc(body.length + 8);
      frame.writeUInt32BE(body.length, 0);
      body.copy(frame, 4);
      frame.writeUInt32BE(crc32(body), body.length + 4);
      this.socket.write(frame);
    });
  }

  connect() {
    const socket = net.connect(this.path);
    this.socket = socket;
    this.received = Buffer.alloc(0);
    socket.setTimeout(ANSWER_MS_MAX, () => {
      if (this.waiting.length) socket.destroy(new Error('the store did not answer in time'));
    });
    socket.on('data', (bytes) => this.read(bytes));
    socket.on('error', (error) => this.fail(socket, error));
    socket.on('close', () => this.fail(socket, new Error('the store closed the connection')));
  }

  read(bytes) {
    this.received = Buffer.concat([this.received, bytes]);
    while (this.received.length >= 8) {
      const length = this.received.readUInt32BE(0);
      if (length > FRAME_BYTES_MAX) return this.socket.destroy(new Error('a frame is too large'));
      if (this.received.length < length + 8) return undefined;
      const body = this.received.subarray(4, 4 + length);
      if (crc32(body) !== this.received.readUInt32BE(4 + length)) return this.socket.destroy(new Error('a frame is damaged'));
      this.received = this.received.subarray(8 + length);
      const reply = JSON.parse(body.toString('utf8'));
      const { resolve, reject } = this.waiting.shift();
      if (reply.ok) resolve(reply);
      else reject(Object.assign(new Error(reply.error), { code: reply.error_code }));
    }
    return undefined;
  }

  fail(socket, error) {
    if (socket !== this.socket) return;
    this.socket = null; // the next request connects anew
    this.waiting.splice(0).forEach(({ reject }) => reject(error));
  }

  // Durable when it resolves. The id makes a repetition harmless: the same fact again is no second one.
  write(key, value, action) {
    return this.ask({ fact: { id: crypto.randomUUID(), store: 'note', key, value, action }, op: 'write_fact' });
  }

  async has(key) {
    return (await this.ask({ store: 'note', key, op: 'read' })).found;
  }
}

function answer(response, status, document, type) {
  const body = Buffer.from(JSON.stringify(document));
  response.writeHead(status, { 'Content-Type': type || 'application/json', 'Content-Length': body.length });
  response.end(body); // HEAD sends no body: Node leaves it out by itself
}

function problem(response, status, code, detail, remedy) {
  answer(response, status, { type: code, title: detail, status, detail, remedy }, 'application/problem+json');
}

function readJson(request, response, use) {
  const parts = [];
  let size = 0;
  request.on('data', (part) => {
    size += part.length;
    if (size <= BODY_BYTES_MAX) parts.push(part);
  });
  request.on('end', () => {
    if (size > BODY_BYTES_MAX) return problem(response, 413, 'body_too_large', 'a note has at most 64 KiB', 'Write less.');
    let document;
    try {
      document = JSON.parse(Buffer.concat(parts).toString('utf8'));
    } catch {
      return problem(response, 400, 'bad_request', 'the body is not JSON', 'Send {"text": "…"}.');
    }
    return use(document);
  });
}

async function put(store, document, response) {
  const key = document && document.id !== undefined ? String(document.id) : crypto.randomUUID();
  if (!document || typeof document.text !== 'string' || !PLAIN_KEY.test(key)) {
    return problem(response, 400, 'bad_request', 'a note is {"text": "…"} with an optional plain id', 'Correct the note.');
  }
  const value = { id: key, text: document.text, written_at: new Date().toISOString() };
  const { seq } = await store.write(key, value, 'put');
  return answer(response, 201, { key, value, seq, href: `records/note/${key}` });
}

async function remove(store, key, response) {
  if (!(await store.has(key))) return problem(response, 404, 'not_found', `there is no note ${key}`, 'See records/note.');
  await store.write(key, {}, 'delete');
  return answer(response, 200, { deleted: key });
}

function serve(greeting, store, request, response) {
  const given = Buffer.from(String(request.headers['x-locker-token'] || ''));
  const wanted = Buffer.from(greeting.token);
  if (given.length !== wanted.length || !crypto.timingSafeEqual(given, wanted)) {
    return problem(response, 403, 'forbidden', 'only the core may ask this port', 'Ask under /Me/ of the core.');
  }
  const path = request.url.split('?')[0].split('/').filter(Boolean);
  const failed = (error) => problem(response, 503, 'retry', `the note was not stored: ${error.message}`, 'Try again.');
  if (path.length === 0 && (request.method === 'GET' || request.method === 'HEAD')) {
    return answer(response, 200, { id: greeting.id, title: 'Notes (Node)', version: '1.0', status: 'ok' });
  }
  if (path[0] === 'sync' && request.method === 'POST') return answer(response, 200, { runs: [] }); // nothing to pull
  if (path[0] === 'notes' && path.length === 1 && request.method === 'POST') {
    return readJson(request, response, (document) => put(store, document, response).catch(failed));
  }
  if (path[0] === 'notes' && path.length === 2 && PLAIN_KEY.test(path[1]) && request.method === 'DELETE') {
    return remove(store, path[1], response).catch(failed);
  }
  return problem(response, 404, 'not_found', `nothing stands at ${request.url.slice(0, 200)}`, 'See records/note.');
}

function start(line) {
  const greeting = JSON.parse(line);
  const store = new Store(greeting.storeSocket);
  const server = http.createServer((request, response) => serve(greeting, store, request, response));
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port, version: '1.0' })));
}

const stdin = readline.createInterface({ input: process.stdin });
stdin.once('line', start);
stdin.on('close', () => process.exit(0)); // the core is gone
process.on('SIGTERM', () => process.exit(0));
