// SPDX-License-Identifier: Apache-2.0
// bootstrap.mjs: runs a Node.js handler, named FILE.FUNCTION by $_HANDLER, over the Lambda Runtime API.

import { AsyncLocalStorage } from 'node:async_hooks';
import { existsSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { Writable } from 'node:stream';
import { pathToFileURL } from 'node:url';

const base = '/2018-06-01/runtime/';
const root = process.env.LAMBDA_TASK_ROOT || '/var/task';
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const streamed = Symbol.for('aws.lambda.runtime.handler.streaming');
const prelude = 'application/vnd.awslambda.http-integration-response';
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
const invocation = new AsyncLocalStorage();

// awslambda is what handlers that stream find: the names are those of AWS.
class HttpResponseStream {
  static from(stream, metadata) {
    stream.setContentType(prelude);
    stream.write(JSON.stringify(metadata ?? {}));
    stream.write(Buffer.alloc(8));
    return stream;
  }
}
globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[streamed] = true;
    if (options?.highWaterMark) handler.highWaterMark = Number(options.highWaterMark);
    return handler;
  },
  HttpResponseStream,
};

class RuntimeError extends Error {
  constructor(type, message) {
    super(message);
    this.name = type;
  }
}

function begin(method, path, headers) {
  const request = http.request({ host, port, agent, method, path: base + path, headers });
  const answer = new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('response', (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.once('error', reject);
      response.once('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
    });
  });
  answer.catch(() => {}); // whoever waits for it hears of it
  return { request, answer };
}

function call(method, path, body, headers = {}) {
  const { request, answer } = begin(method, path, body ? { ...headers, 'Content-Length': Buffer.byteLength(body) } : headers);
  request.end(body);
  return answer;
}

// frames are those of the function: not of this file.
const frames = (stack) => String(stack || '').split('\n').filter((line) => !line.includes(import.meta.url) && !line.includes('at new Promise (<anonymous>)') && !line.includes('node:async_hooks'));

// describe is an error as the Runtime API has it.
function describe(error) {
  const isError = error instanceof Error || (error && typeof error === 'object' && 'message' in error && 'stack' in error);
  if (isError) {
    return { errorType: String(error.name || 'Error'), errorMessage: String(error.message), trace: frames(error.stack) };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function logError(what, d) {
  process.stderr.write(`${new Date().toISOString()}\t${invocation.getStore() ?? ''}\tERROR\t${what}\t${JSON.stringify(d)}\n`);
}

const printable = (text) => text.replace(/[^\x20-\x7e]/g, '?');

async function fail(path, error, what) {
  const d = describe(error);
  logError(what, d);
  await call('POST', path, JSON.stringify(d), { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': printable(d.errorType) });
}

function context(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  const parse = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    clientContext: parse('lambda-runtime-client-context'),
    identity: parse('lambda-runtime-cognito-identity'),
    getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
  };
}

// find loads the function that _HANDLER names, of a CommonJS or an ES module.
async function find(name) {
  const parts = /^(?:(.*)\/)?([^/.]+)\.(.+)$/.exec(name);
  if (!parts || name.includes('..')) throw new RuntimeError('Runtime.MalformedHandlerName', `Bad handler '${name}': it is of the form FILE.FUNCTION`);
  const file = path.resolve(root, parts[1] || '.', parts[2]);
  let module;
  try {
    const found = ['', '.js', '.mjs', '.cjs'].map((ending) => file + ending).find((f) => existsSync(f) && path.extname(f));
    if (found) {
      module = found.endsWith('.cjs') ? createRequire(pathToFileURL(found))(found) : await import(pathToFileURL(found));
    } else {
      module = createRequire(path.join(root, 'x.js'))(file); // a folder with index.js
    }
  } catch (error) {
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw new RuntimeError('Runtime.ImportModuleError', `Error: ${String(error.message).split('\n')[0]}`);
    }
    if (error instanceof SyntaxError) throw new RuntimeError('Runtime.UserCodeSyntaxError', `SyntaxError: ${error.message}`);
    throw error;
  }
  const pick = (from) => parts[3].split('.').reduce((at, key) => at?.[key], from);
  const handler = pick(module) ?? pick(module.default);
  if (handler === undefined) throw new RuntimeError('Runtime.HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw new RuntimeError('Runtime.HandlerNotFound', `${name} is not a function`);
  return handler;
}

const loops = Math.max(Number(process.env.AWS_LAMBDA_MAX_CONCURRENCY) || 1, 1);

// quiet resolves when nothing is left to do in the event loop: what a callback's answer waits for. Where several events run at once, there is always something.
const quiet = () => (loops > 1 ? Promise.resolve() : new Promise((resolve) => process.once('beforeExit', resolve)));

function run(handler, event, ctx) {
  return new Promise((resolve, reject) => {
    let called = false;
    const callback = (error, result) => {
      called = true;
      const over = () => (error === undefined || error === null ? resolve(result) : reject(error));
      ctx.callbackWaitsForEmptyEventLoop ? quiet().then(over) : over();
    };
    ctx.done = callback;
    ctx.succeed = (result) => resolve(result);
    ctx.fail = (error) => reject(error ?? new Error('handled'));
    const result = handler(event, ctx, callback);
    if (typeof result?.then === 'function') result.then(resolve, reject);
    else if (handler.length < 3 && result !== undefined) resolve(result);
    else if (loops === 1) quiet().then(() => called || resolve(null)); // nothing is left that could answer
  });
}

// ResponseStream begins the answer with the first bytes, so that its type can be chosen before.
class ResponseStream extends Writable {
  constructor(id, highWaterMark) {
    super({ highWaterMark });
    this.id = id;
    this.type = 'application/octet-stream';
  }

  setContentType(type) {
    if (this.http) throw new Error('the answer has begun: its type cannot change');
    this.type = type;
  }

  start() {
    if (this.http) return;
    this.http = begin('POST', `invocation/${this.id}/response`, {
      'Content-Type': this.type,
      'Transfer-Encoding': 'chunked',
      'Lambda-Runtime-Function-Response-Mode': 'streaming',
      Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
    });
  }

  _write(part, _, done) {
    this.start();
    this.http.request.write(part, done);
  }

  _final(done) {
    this.start();
    this.http.request.end();
    this.http.answer.then(() => done(), done);
  }

  // breakOff tells of an error in the middle.
  async breakOff(error) {
    const d = describe(error);
    this.http.request.addTrailers({
      'Lambda-Runtime-Function-Error-Type': printable(d.errorType),
      'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(d)).toString('base64'),
    });
    this.http.request.end();
    await this.http.answer;
  }
}

async function stream(handler, event, ctx) {
  const out = new ResponseStream(ctx.awsRequestId, handler.highWaterMark);
  const finished = new Promise((resolve, reject) => out.once('finish', resolve).once('error', reject));
  finished.catch(() => {});
  try {
    await handler(event, out, ctx);
    if (!out.writableEnded) out.end();
    await finished;
  } catch (error) {
    if (!out.http) throw error;
    logError('Invoke Error', describe(error));
    await out.breakOff(error);
  }
}

async function one(handler) {
  const { status, headers, body } = await call('GET', 'invocation/next');
  if (status !== 200) throw new Error(`Lambda Runtime API: next invocation: status ${status}`);
  const id = headers['lambda-runtime-aws-request-id'];
  if (headers['lambda-runtime-trace-id']) process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
  await invocation.run(id, async () => {
    try {
      const event = JSON.parse(body.toString('utf8'));
      const ctx = context(headers);
      if (handler[streamed]) {
        await stream(handler, event, ctx);
        return;
      }
      const result = await run(handler, event, ctx);
      let text;
      try {
        text = JSON.stringify(result === undefined ? null : result) ?? 'null';
      } catch (error) {
        throw new RuntimeError('Runtime.MarshalError', `Unable to stringify response body: ${error.message}`);
      }
      const answer = await call('POST', `invocation/${id}/response`, text, { 'Content-Type': 'application/json' });
      if (answer.status !== 202 && answer.status !== 413) throw new Error(`Lambda Runtime API: response: status ${answer.status}`);
    } catch (error) {
      await fail(`invocation/${id}/error`, error, 'Invoke Error');
    }
  });
}

async function loop(handler) {
  for (;;) await one(handler);
}

// What nobody catches ends the process; the invocation that it belongs to hears of it.
function onUncaught(type) {
  return async (error) => {
    const id = invocation.getStore();
    const wrapped = type ? Object.assign(new RuntimeError(type, String(error)), { stack: error?.stack }) : error;
    try {
      if (id) await fail(`invocation/${id}/error`, wrapped, type ? 'Unhandled Promise Rejection' : 'Uncaught Exception');
      else logError('Uncaught Exception', describe(wrapped));
    } finally {
      process.exit(129);
    }
  };
}

const loggers = { log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR', debug: 'DEBUG', trace: 'TRACE' };
function setUpConsole(format) {
  for (const [name, level] of Object.entries(loggers)) {
    const to = level === 'ERROR' || level === 'WARN' ? process.stderr : process.stdout;
    console[name] = (...args) => to.write(`${new Date().toISOString()}\t${invocation.getStore() ?? 'undefined'}\t${level}\t${format(...args)}\n`);
  }
}

process.chdir(root);
process.on('uncaughtException', onUncaught());
process.on('unhandledRejection', onUncaught('Runtime.UnhandledPromiseRejection'));
setUpConsole((await import('node:util')).format);
try {
  const handler = await find(process.env._HANDLER ?? '');
  for (let i = 0; i < loops; i++) loop(handler); // an error of one is uncaught, and ends all
} catch (error) {
  await fail('init/error', error, 'Uncaught Exception');
  process.exit(1);
}
