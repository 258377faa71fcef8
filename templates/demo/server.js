// The demo's app: answers with its version; a release may be told to fail some seconds after its start.
const fs = require("fs");
const http = require("http");
const path = require("path");

const { version } = JSON.parse(fs.readFileSync(path.join(__dirname, "package.json"), "utf8"));
const failsAfter = Number(fs.readFileSync(path.join(__dirname, "fails-after-ms"), "utf8")) || Infinity;
const started = Date.now();

const server = http.createServer((request, response) => {
  const failing = Date.now() - started > failsAfter;
  response.writeHead(failing ? 500 : 200, { "content-type": "application/json", connection: "close" });
  response.end(JSON.stringify({ status: failing ? "failing" : "healthy", version }) + "\n");
});
server.listen(Number(process.env.PORT), "127.0.0.1");
process.on("SIGTERM", () => server.close(() => process.exit(0)));
