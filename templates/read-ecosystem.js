// Reads one of pm2's process files as pm2 does and prints the apps in it, one JSON line after a mark.
// Standard input: { file, text, own, pm2 }. `text`, if there is one, is what the file will be and is not yet: null is printed
// if it reads other files, which are not there yet either. `own` are the app's variables: a file may choose by NODE_ENV. What the file itself
// declares is not handed to it, else `process.env.PORT || 3000` would see its own value of before.
const fs = require('fs'), path = require('path'), vm = require('vm');
const Module = require('module'), { createRequire } = Module;
const { pathToFileURL } = require('url');
const { file, text, own, pm2, mark } = JSON.parse(fs.readFileSync(0, 'utf8'));
const ALIASES = {
  exec: 'script', cmd: 'script', command: 'script', exec_interpreter: 'interpreter', interpreterArgs: 'node_args',
  interpreter_args: 'node_args', out: 'out_file', output: 'out_file', out_log: 'out_file', error: 'error_file',
  err: 'error_file', err_file: 'error_file', err_log: 'error_file', log: 'log_file', pid: 'pid_file', cron: 'cron_restart',
  combine_logs: 'merge_logs', user: 'uid',
};

let turn = 0;
const content = () => text ?? fs.readFileSync(file, 'utf8');

function required() {
  if (text === undefined || text === null) return require(file);
  const module = new Module(file), read = Module.prototype.require;
  Module.prototype.require = function (id) {
    if (this === module && !Module.isBuiltin(id)) throw Object.assign(new Error(id), { unknown: true });
    return read.call(this, id);
  };
  module._compile(text, file);
  return module.exports;
}

const unknown = (error) => text && (error.unknown || /^(ENOENT|MODULE_NOT_FOUND)$/.test(error.code) || /\bimport\b/.test(text));

async function load() {
  if (/\.ya?ml$/.test(file)) {
    const from = [pm2, path.dirname(file)].filter(Boolean);
    for (const place of from) {
      let yaml;
      try { yaml = createRequire(path.join(place, 'x.js'))('js-yaml'); } catch { continue; }
      return yaml.load(content());
    }
    throw new Error('there is no js-yaml here to read it with');
  }
  if (file.endsWith('.json')) return vm.runInThisContext('(' + content() + ')', { filename: file });
  try {
    for (const known of Object.keys(require.cache)) delete require.cache[known];
    const found = required();
    return found && found.__esModule && found.default ? found.default : found;
  } catch (error) {
    if (!/ERR_REQUIRE|Cannot use import|Unexpected token 'export'|is not defined in ES module/.test(error.code + ' ' + error.message)) throw error;
    const place = text ? 'data:text/javascript,' + encodeURIComponent(text) + '//' : pathToFileURL(file).href + '?';
    const found = await import(place + turn++);
    return found.default || found;
  }
}

function texts(env) {
  const all = {};
  for (const [name, value] of Object.entries(env || {})) {
    if (value === undefined || value === null) continue;
    all[name] = typeof value === 'object' ? JSON.stringify(value) : String(value);
  }
  return all;
}

function plain(app) {
  const all = {};
  for (const [key, value] of Object.entries(app)) {
    if (value === undefined || typeof value === 'function') continue;
    const name = ALIASES[key] || key;
    if (!(name in all) || name === key) all[name] = value;
  }
  if (typeof all.script === 'string' && all.script.includes(' ')) {
    if (!all.name) all.name = all.script;
    all.args = ['-c', all.script];
    all.script = 'bash';
  }
  if (!all.name && all.script) all.name = path.basename(all.script).replace(/(.)\.[^.]*$/, '$1');
  if (typeof all.exec_mode === 'string') all.exec_mode = all.exec_mode.replace(/^(fork|cluster)$/, '$1_mode');
  if (all.instances === 'max') all.instances = 0;
  if (typeof all.instances === 'string') all.instances = parseInt(all.instances) || 0;
  if (all.time) all.log_date_format = 'YYYY-MM-DDTHH:mm:ss';
  delete all.time;
  const env = texts(all.env);
  if (all.port) env.PORT = String(all.port);
  delete all.port;
  const variants = {};
  for (const key of Object.keys(all)) {
    if (key.startsWith('env_') && all[key] && typeof all[key] === 'object') variants[key.slice(4)] = texts(all[key]);
    if (key.startsWith('env_') && key !== 'env_file') delete all[key];
  }
  all.env = env;
  return { app: all, variants };
}

async function apps() {
  const found = await load();
  const named = found && (found.apps || found.pm2);
  let list = named || found;
  if (!Array.isArray(list)) list = [list];
  list = list.filter((app) => app && typeof app === 'object').map(plain);
  // The file may be about something else: what has no script is no app.
  return named ? list : list.filter(({ app }) => typeof app.script === 'string');
}

async function main() {
  let found = await apps();
  const declared = new Set();
  for (const { app, variants } of found) {
    for (const env of [app.env, ...Object.values(variants)]) Object.keys(env).forEach((name) => declared.add(name));
  }
  const more = Object.entries(own).filter(([name]) => !declared.has(name) && process.env[name] !== own[name]);
  if (more.length > 0) {
    for (const [name, value] of more) process.env[name] = value;
    found = await apps();
  }
  fs.writeSync(1, '\n' + mark + JSON.stringify(found) + '\n');
  process.exit(0);
}

main().catch((error) => {
  if (unknown(error)) {
    fs.writeSync(1, '\n' + mark + 'null\n');
    process.exit(0);
  }
  fs.writeSync(2, String(error && error.message || error).split('\n')[0] + '\n');
  process.exit(1);
});
