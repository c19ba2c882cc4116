// A citizen's app as vendors write it, on fhirclient: it launches, reads within its scopes, and is revoked. Prints one line a step; the exit code is the number of failures.
// "browse ADDRESS" asks whoever reads the output for where the citizen's browser ends, "revoke" to end the app as the citizen; the next line of input says that it is done.
import assert from 'node:assert/strict';
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createInterface } from 'node:readline/promises';
import fhirclient from 'fhirclient';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => (await lines.next()).value;
const given = JSON.parse(await next());
// All connections of the app show its certificate, to which its tokens are bound (RFC 8705).
https.globalAgent = new https.Agent({ ca: readFileSync(given.ca), cert: readFileSync(given.certificate), key: readFileSync(given.key) });
const jwk = JSON.parse(readFileSync(given.jwk, 'utf8'));
const kept = new Map();
const storage = { get: async key => kept.get(key), set: async (key, value) => { kept.set(key, value); return value; }, unset: async key => kept.delete(key) };
/** fhirclient beside a request of the citizen's browser. */
const at = url => fhirclient({ url, headers: { host: new URL(given.redirect).host }, socket: { encrypted: true } }, { redirect() {} }, storage);

function assertion(audience) {
  const now = Math.floor(Date.now() / 1000);
  const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: jwk.alg, kid: jwk.kid, typ: 'JWT' })}.${part({ iss: given.client, sub: given.client, aud: audience, jti: randomUUID(), iat: now, exp: now + 60 })}`;
  return `${signed}.${sign('sha384', signed, { key: createPrivateKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
/** Says who the app is, which fhirclient would without iat: a gateway that has just started cannot tell such an assertion from one that was used before. */
async function post(url, form) {
  form = { ...form, client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: assertion(given.token) };
  const request = https.request(url, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  request.end(new URLSearchParams(form).toString());
  const answer = await new Promise((resolve, reject) => request.on('response', resolve).on('error', reject));
  const body = await answer.setEncoding('utf8').reduce((all, chunk) => all + chunk, '');
  assert.ok(answer.statusCode < 300, `${answer.statusCode} ${body}`);
  return JSON.parse(body);
}

let failures = 0, done = 0;
async function step(name, run) {
  try {
    await run();
    done++;
    console.log(`ok   ${name}`);
  } catch (error) {
    failures++;
    console.log(`FAIL ${name}: ${error.stack}`);
  }
}
async function tell(what) {
  console.log(what);
  return next();
}
const refused = (promise, status) => assert.rejects(promise, error => error.statusCode === status || error.status === status || assert.fail(`refused otherwise: ${error.statusCode ?? error.status} ${error.message}`));

let asked, client;
await step('the app finds the gateway and asks with PKCE', async () => {
  asked = new URL(await at('/').authorize({ iss: given.fhir, clientId: given.client, scope: 'launch/patient patient/Observation.rs patient/Patient.r', redirectUri: given.redirect, clientPrivateJwk: jwk, pkceMode: 'required', noRedirect: true }));
  assert.equal(asked.searchParams.get('code_challenge_method'), 'S256');
});
await step('what the browser would carry is pushed, and the citizen allows it', async () => {
  // The gateway takes no request by the browser (RFC 9126); fhirclient knows only that way, so the app's server pushes what it says.
  const pushed = await post(given.par, Object.fromEntries(asked.searchParams));
  asked.search = new URLSearchParams({ client_id: given.client, request_uri: pushed.request_uri });
  const back = new URL(await tell(`browse ${asked}`));
  const state = kept.get(back.searchParams.get('state'));
  state.tokenResponse = await post(state.tokenUri, { grant_type: 'authorization_code', code: back.searchParams.get('code'), redirect_uri: state.redirectUri, code_verifier: state.codeVerifier });
  client = await at(back.pathname + back.search).ready();
  assert.equal(client.patient.id, given.patient);
});
await step('it reads the patient and her results', async () => {
  assert.equal((await client.patient.read()).id, given.patient);
  assert.ok((await client.patient.request('Observation')).total >= 1);
});
await step('it reads nothing else', () => refused(client.request(`Condition/${given.condition}`), 403));
await step('it does not change what it may read', () => refused(client.create({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: `Patient/${given.patient}` } }), 403));
await step('once she has revoked it, it reads nothing', async () => {
  assert.equal(await tell('revoke'), 'NoContent');
  await refused(client.patient.read(), 401);
});
console.log(`${done} passed, ${failures} failed`);
process.exit(failures);
