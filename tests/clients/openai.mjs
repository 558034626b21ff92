// The API as OpenAI's client for JavaScript uses it. What the server answers to each question stands in
// test_npm_clients.py.
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { Readable } from 'node:stream';
import { test } from 'node:test';

import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const model = 'tiny';
const parameters = { type: 'object', properties: { city: { type: 'string' } } };
const tools = [
  { type: 'function', function: { name: 'weather', parameters } },
  { type: 'function', function: { name: 'clock' } },
];
const calls = [
  ['call_a', 'weather', '{"city":"Rome"}'],
  ['call_b', 'clock', '{}'],
];

const clientWith = (apiKey) => new OpenAI({ baseURL: env.HEARTH_BASE_URL, apiKey, maxRetries: 0, timeout: 20_000 });
const client = clientWith(env.HEARTH_API_KEY);
const asking = (content) => ({ model, messages: [{ role: 'user', content }] });

async function chunksOf(body) {
  return Readable.from(await client.chat.completions.create({ ...body, stream: true })).toArray();
}

const textsOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content).filter(Boolean);

test('a plain question', async () => {
  const answer = await client.chat.completions.create(asking('Hello'));
  assert.equal(answer.choices[0].message.content, 'Good morning');
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(answer.usage.total_tokens, 22);
  assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 4);
});

test('a stream', async () => {
  const chunks = await chunksOf(asking('Hello'));
  assert.deepEqual(textsOf(chunks), ['Good', ' morning']);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  assert.ok(chunks.every((chunk) => !chunk.usage));
});

test('a stream with its usage', async () => {
  const chunks = await chunksOf({ ...asking('Hello'), stream_options: { include_usage: true } });
  assert.deepEqual(textsOf(chunks), ['Good', ' morning']);
  assert.deepEqual(chunks.filter((chunk) => chunk.usage).map((chunk) => chunk.usage.total_tokens), [22]);
});

test('an answer in a shape is parsed', async () => {
  const City = z.object({ name: z.string(), people: z.number().int() });
  const answer = await client.chat.completions.parse({
    ...asking('A city?'),
    response_format: zodResponseFormat(City, 'city'),
  });
  assert.deepEqual(answer.choices[0].message.parsed, { name: 'Oslo', people: 700_000 });
});

const choiceOf = {
  whole: async (body) => (await client.chat.completions.create(body)).choices[0],
  streamed: async (body) => (await client.chat.completions.stream(body).finalChatCompletion()).choices[0],
};

for (const [form, ask] of Object.entries(choiceOf)) {
  test(`a round trip of tools, ${form}`, async () => {
    const question = asking('The weather?');
    const { message, finish_reason } = await ask({ ...question, tools, tool_choice: 'required' });
    assert.equal(finish_reason, 'tool_calls');
    assert.equal(message.content, 'Let me look.');
    const made = message.tool_calls.map((call) => [call.id, call.function.name, call.function.arguments]);
    assert.deepEqual(made, calls);
    const results = calls.map(([id]) => ({ role: 'tool', tool_call_id: id, content: 'Sunny' }));
    const second = await ask({ ...question, messages: [...question.messages, message, ...results], tools });
    assert.equal(second.message.content, 'It is sunny.');
  });
}

test('embeddings', async () => {
  const answer = await client.embeddings.create({ model, input: ['a', 'b'] });
  assert.deepEqual(answer.data.map((item) => item.index), [0, 1]);
  for (const { embedding } of answer.data) {
    assert.deepEqual(embedding, Array.from(Float32Array.of(0.6, 0.8, 0)));
  }
  assert.equal(answer.usage.prompt_tokens, 10);
});

test('leaving in mid-stream stops the work', async () => {
  const abort = new AbortController();
  const body = { ...asking('Go on for ever'), stream: true };
  const stream = await client.chat.completions.create(body, { signal: abort.signal });
  let heard = '';
  for await (const chunk of stream) {
    heard += chunk.choices[0].delta.content ?? '';
    if (heard) abort.abort();
  }
  assert.equal(heard, 'Once');
  const answer = await client.chat.completions.create(asking('Say when that is over'));
  assert.equal(answer.choices[0].message.content, 'It is over');
});

test('a wrong key', async () => {
  const question = clientWith('wrong').chat.completions.create(asking('Hello'));
  await assert.rejects(question, (error) => error instanceof OpenAI.AuthenticationError && error.status === 401);
});

test('a wrong model', async () => {
  const question = client.chat.completions.create({ ...asking('Hello'), model: 'gpt-9' });
  await assert.rejects(
    question,
    (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found',
  );
});
