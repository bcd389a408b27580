// Reads its greeting, serves one fixed text, announces the port, and ends when its stdin ends.
const http = require("node:http");
const readline = require("node:readline");

const lines = readline.createInterface({ input: process.stdin });
lines.once("line", (line) => {
  const greeting = JSON.parse(line);
  const server = http.createServer((request, response) => response.end(`node-minimal ${greeting.id}`));
  server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
});
lines.on("close", () => process.exit(0));
