// A connector in JavaScript, with nothing but Node's standard library.
//
// It keeps short notes as JSON lines in its working directory, answers for the current state and the history
// of each, and tells the core of every change. The contract with the core is docs/protocols.md: one line of JSON
// on stdin, one on stdout, and the end of stdin means that the core is gone.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const readline = require('readline');

const LOG = 'notes.jsonl';
const EPOCH = 'epoch';
const BODY_BYTES_MAX = 64 * 1024;
const PLAIN_KEY = /^[A-Za-z0-9_.-]{1,200}$/;

const facts = []; // every version, oldest first; the line number is the position
const current = new Map(); // key -> latest fact that is no deletion
let epoch = ''; // which log this is: positions of another one mean nothing here

function apply(fact) {
  facts.push(fact);
  if (fact.action === 'delete') current.delete(fact.key);
  else current.set(fact.key, fact);
}

function load() {
  if (!fs.existsSync(LOG)) {
    writeDurably(EPOCH, 'w', crypto.randomBytes(16).toString('hex')); // a new log, before its first fact
    writeDurably(LOG, 'a', '');
  }
  epoch = fs.readFileSync(EPOCH, 'utf8');
  const text = fs.readFileSync(LOG, 'utf8');
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) fs.truncateSync(LOG, Buffer.byteLength(whole)); // a line cut short by a crash
  whole.split('\n').filter(Boolean).forEach((line) => apply(JSON.parse(line)));
}

function writeDurably(name, how, text) {
  const file = fs.openSync(name, how, 0o600);
  try {
    fs.writeSync(file, text);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
}

function append(fact) {
  writeDurably(LOG, 'a', JSON.stringify(fact) + '\n'); // durable before anybody is told
  apply(fact);
}

function record(fact) {
  return { key: fact.key, value: fact.value, common: { title: fact.value.text }, at: fact.at, seq: fact.seq, href: `records/note/${fact.key}` };
}

function tellCore(greeting, path, document) {
  const body = JSON.stringify(document);
  const request = http.request(`${greeting.lockerUrl}/core/${greeting.id}/${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${greeting.token}`, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
    timeout: 10000,
  });
  request.on('response', (answer) => {
    answer.resume();
    if (answer.statusCode >= 300) console.error(`the core refused ${path}: ${answer.statusCode}`);
  });
  request.on('timeout', () => request.destroy(new Error('timeout')));
  request.on('error', (error) => console.error(`the core did not take ${path}: ${error.message}`));
  request.end(body);
}

function write(greeting, action, key, value) {
  const seq = facts.length + 1;
  const known = current.has(key);
  append({ seq, action, key, value, at: Date.now() / 1000 });
  const event = action === 'delete' ? 'delete' : known ? 'update' : 'new';
  tellCore(greeting, 'event', { idr: `note://node-notes/#${encodeURIComponent(key)}`, action: event, data: value });
}

function answer(response, status, document, type) {
  const body = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
  response.writeHead(status, { 'Content-Type': type || 'application/json', 'Content-Length': body.length });
  response.end(body); // HEAD sends no body: Node leaves it out by itself
}

function problem(response, status, code, detail, remedy) {
  answer(response, status, { type: code, title: detail, status, detail, remedy }, 'application/problem+json');
}

function changeFeed(query, response) {
  const since = query.get('since') || `${epoch}.0`;
  const limit = query.get('limit') || String(facts.length || 1);
  const [whose, seq] = since.split('.');
  if (!/^[0-9a-f]+\.\d{1,15}$/.test(since)) return problem(response, 400, 'bad_request', 'since is no cursor', 'Send the cursor of a fact, or leave since out.');
  if (!/^[1-9]\d{0,14}$/.test(limit)) return problem(response, 400, 'bad_request', 'limit is no number from 1 on', 'Correct it, or leave it out.');
  if (whose !== epoch || Number(seq) > facts.length) {
    return problem(response, 410, 'cursor_unknown', 'the cursor is not of this store', 'Read the current state and start without since.');
  }
  const lines = facts.slice(Number(seq), Number(seq) + Number(limit));
  const body = lines.map((fact) => JSON.stringify({ ...fact, type: 'note', cursor: `${epoch}.${fact.seq}` }) + '\n').join('');
  return answer(response, 200, body, 'application/jsonl');
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

function serve(greeting, request, response) {
  const given = Buffer.from(String(request.headers['x-locker-token'] || ''));
  const wanted = Buffer.from(greeting.token);
  if (given.length !== wanted.length || !crypto.timingSafeEqual(given, wanted)) {
    return problem(response, 403, 'forbidden', 'only the core may ask this port', 'Ask under /Me/ of the core.');
  }
  const [place, query] = request.url.split('?');
  const path = place.split('/').filter(Boolean);
  const reading = request.method === 'GET' || request.method === 'HEAD';
  const noteKey = path[0] === 'records' && path[1] === 'note' && path[2];
  if (reading && path.length === 0) {
    return answer(response, 200, { id: greeting.id, title: 'Notes (Node)', counts: { note: current.size }, status: 'ok' });
  }
  if (reading && path[0] === 'status') return answer(response, 200, { streams: {}, counts: { note: current.size }, head: facts.length });
  if (reading && path[0] === 'types') return answer(response, 200, { types: { note: { key: 'id' } } });
  if (reading && path[0] === 'facts' && path.length === 1) return changeFeed(new URLSearchParams(query), response);
  if (reading && path[0] === 'records' && path[1] === 'note' && path.length === 2) {
    return answer(response, 200, { records: [...current.values()].map(record), next: null });
  }
  if (reading && noteKey && path[3] === 'history') {
    const versions = facts.filter((fact) => fact.key === path[2]).reverse();
    return versions.length ? answer(response, 200, { facts: versions, next: null }) : problem(response, 404, 'not_found', `there is no note ${path[2]}`, 'See records/note.');
  }
  if (reading && noteKey && path.length === 3) {
    const fact = current.get(path[2]);
    return fact ? answer(response, 200, record(fact)) : problem(response, 404, 'not_found', `there is no note ${path[2]}`, 'See records/note.');
  }
  if (noteKey && path.length === 3 && request.method === 'DELETE') {
    if (!current.has(path[2])) return problem(response, 404, 'not_found', `there is no note ${path[2]}`, 'See records/note.');
    write(greeting, 'delete', path[2], {});
    return answer(response, 200, { deleted: path[2] });
  }
  if (path[0] === 'notes' && request.method === 'POST') {
    return readJson(request, response, (document) => {
      const key = document && document.id !== undefined ? String(document.id) : crypto.randomUUID();
      if (!document || typeof document.text !== 'string' || !PLAIN_KEY.test(key)) {
        return problem(response, 400, 'bad_request', 'a note is {"text": "…"} with an optional plain id', 'Correct the note.');
      }
      write(greeting, 'put', key, { id: key, text: document.text, written_at: new Date().toISOString() });
      return answer(response, 201, record(current.get(key)));
    });
  }
  return problem(response, 404, 'not_found', `nothing stands at ${request.url.slice(0, 200)}`, 'See records/note.');
}

function start(line) {
  const greeting = JSON.parse(line);
  process.chdir(greeting.workingDirectory);
  load();
  const server = http.createServer((request, response) => serve(greeting, request, response));
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port, version: '1.0' })));
}

const stdin = readline.createInterface({ input: process.stdin });
stdin.once('line', start);
stdin.on('close', () => process.exit(0)); // the core is gone
process.on('SIGTERM', () => process.exit(0));
