// The API as Vercel's AI SDK uses it. What the server answers to each question stands in test_npm_clients.py.
import assert from 'node:assert/strict';
import { env } from 'node:process';
import { Readable } from 'node:stream';
import { test } from 'node:test';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, embedMany, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const providerWith = (options) =>
  createOpenAICompatible({
    name: 'hearth',
    baseURL: env.HEARTH_BASE_URL,
    apiKey: env.HEARTH_API_KEY,
    supportsStructuredOutputs: true,
    ...options,
  });
const hearth = providerWith();
const asking = (prompt, model = hearth('tiny')) => ({
  model,
  prompt,
  maxRetries: 0,
  abortSignal: AbortSignal.timeout(20_000),
});

test('a plain question', async () => {
  const answer = await generateText(asking('Hello'));
  assert.equal(answer.text, 'Good morning');
  assert.equal(answer.finishReason, 'stop');
  assert.equal(answer.usage.totalTokens, 22);
  assert.equal(answer.usage.inputTokenDetails.cacheReadTokens, 4);
});

test('a stream', async () => {
  const answer = streamText(asking('Hello'));
  assert.deepEqual(await Readable.from(answer.textStream).toArray(), ['Good', ' morning']);
  assert.equal(await answer.finishReason, 'stop');
  assert.equal((await answer.usage).totalTokens, undefined);
});

test('a stream with its usage', async () => {
  const answer = streamText(asking('Hello', providerWith({ includeUsage: true })('tiny')));
  assert.deepEqual(await Readable.from(answer.textStream).toArray(), ['Good', ' morning']);
  const { inputTokens, outputTokens } = await answer.usage;
  assert.deepEqual({ inputTokens, outputTokens }, { inputTokens: 20, outputTokens: 2 });
});

test('an answer in a shape is parsed', async () => {
  const schema = z.object({ name: z.string(), people: z.number().int() });
  const answer = await generateText({ ...asking('A city?'), output: Output.object({ schema }) });
  assert.deepEqual(answer.output, { name: 'Oslo', people: 700_000 });
});

const stepsOf = {
  whole: async (options) => (await generateText(options)).steps,
  streamed: async (options) => streamText(options).steps,
};

for (const [form, ask] of Object.entries(stepsOf)) {
  test(`a round trip of tools, ${form}`, async () => {
    const inputs = [];
    const execute = (input) => {
      inputs.push(input);
      return 'Sunny';
    };
    const tools = {
      weather: tool({ inputSchema: z.object({ city: z.string() }), execute }),
      clock: tool({ inputSchema: z.object({}), execute }),
    };
    const [first, second, ...more] = await ask({ ...asking('The weather?'), tools, stopWhen: stepCountIs(2) });
    assert.equal(first.finishReason, 'tool-calls');
    assert.deepEqual([first.reasoningText, first.text], ['Hmm.', 'Let me look.']);
    assert.deepEqual(first.toolCalls.map((call) => call.toolCallId), ['call_a', 'call_b']);
    assert.deepEqual(inputs, [{ city: 'Rome' }, {}]);
    assert.equal(second.text, 'It is sunny.');
    assert.deepEqual(more, []);
  });
}

test('embeddings', async () => {
  const model = hearth.embeddingModel('tiny');
  const { embeddings, usage } = await embedMany({ model, values: ['a', 'b'], maxRetries: 0 });
  const vector = Array.from(Float32Array.of(0.6, 0.8, 0));
  assert.deepEqual(embeddings.map((found) => Array.from(Float32Array.from(found))), [vector, vector]);
  assert.equal(usage.tokens, 10);
});

test('leaving in mid-stream stops the work', async () => {
  const abort = new AbortController();
  const answer = streamText({ ...asking('Go on for ever'), abortSignal: abort.signal });
  const types = new Set();
  for await (const part of answer.fullStream) {
    types.add(part.type);
    if (part.type === 'text-delta') abort.abort();
  }
  assert.ok(types.has('text-delta') && types.has('abort'), [...types].join(', '));
  assert.equal((await generateText(asking('Say when that is over'))).text, 'It is over');
});

test('a wrong key', async () => {
  const question = generateText(asking('Hello', providerWith({ apiKey: 'wrong' })('tiny')));
  await assert.rejects(question, (error) => APICallError.isInstance(error) && error.statusCode === 401);
});

test('a wrong model', async () => {
  const question = generateText(asking('Hello', hearth('gpt-9')));
  await assert.rejects(
    question,
    (error) => APICallError.isInstance(error) && error.statusCode === 404 && error.data.error.code === 'model_not_found',
  );
});
