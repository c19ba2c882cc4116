// A citizen's app as vendors write it, on openid-client and on oauth4webapi. Prints one line a step; the exit code is the number of
// failures. "browse ADDRESS" asks whoever reads the output for where the citizen's browser ends: the next line of input.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { Agent, fetch } from 'undici';
import * as oauth from 'oauth4webapi';
import * as oidc from 'openid-client';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => (await lines.next()).value;
const given = JSON.parse(await next());
const tls = { ca: readFileSync(given.ca), cert: readFileSync(given.certificate), key: readFileSync(given.key) };
const dispatcher = new Agent({ connect: tls });
const customFetch = (url, options) => fetch(url, { ...options, dispatcher });

const issuer = new URL(given.issuer);
const jwk = JSON.parse(readFileSync(given.jwk, 'utf8'));
const { kid, alg, use, ...bare } = jwk;
const privateKey = { key: await crypto.subtle.importKey('jwk', bare, { name: 'ECDSA', namedCurve: bare.crv }, false, ['sign']), kid };
const scope = 'launch/patient patient/Observation.rs patient/Patient.r';
const metadata = { use_mtls_endpoint_aliases: true, tls_client_certificate_bound_access_tokens: true, redirect_uris: [given.redirect] };

// How each package does the same things.
const packages = {
  'openid-client': async () => {
    const config = await oidc.discovery(issuer, given.client, metadata, oidc.PrivateKeyJwt(privateKey), { [oidc.customFetch]: customFetch });
    return {
      server: config.serverMetadata(),
      async ask(verifier, state, more = {}) {
        return oidc.buildAuthorizationUrlWithPAR(config, {
          redirect_uri: given.redirect, scope, state, aud: given.fhir,
          code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
        });
      },
      redeem: (back, verifier, state) => oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state }),
      fetch: (token, url) => oidc.fetchProtectedResource(config, token, url, 'GET'),
      introspect: token => oidc.tokenIntrospection(config, token),
      revoke: token => oidc.tokenRevocation(config, token),
    };
  },
  oauth4webapi: async () => {
    const options = { [oauth.customFetch]: customFetch };
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
    const client = { client_id: given.client, ...metadata };
    const authentication = oauth.PrivateKeyJwt(privateKey);
    return {
      server,
      async ask(verifier, state, more = {}) {
        const pushed = await oauth.processPushedAuthorizationResponse(server, client, await oauth.pushedAuthorizationRequest(server, client, authentication, {
          response_type: 'code', redirect_uri: given.redirect, scope, state, aud: given.fhir,
          code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
        }, options));
        const address = new URL(server.authorization_endpoint);
        address.search = new URLSearchParams({ client_id: given.client, request_uri: pushed.request_uri });
        return address;
      },
      async redeem(back, verifier, state) {
        const answer = oauth.validateAuthResponse(server, client, back, state);
        return oauth.processAuthorizationCodeResponse(server, client,
          await oauth.authorizationCodeGrantRequest(server, client, authentication, answer, given.redirect, verifier, options));
      },
      fetch: (token, url) => oauth.protectedResourceRequest(token, 'GET', url, undefined, undefined, options),
      introspect: async token => oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, authentication, token, options)),
      revoke: async token => oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, token, options)),
    };
  },
};

let failures = 0, done = 0;
async function step(name, run) {
  try {
    await run();
    done++;
    console.log(`ok   ${name}`);
  } catch (error) {
    failures++;
    console.log(`FAIL ${name}: ${error.stack} ${error.cause ? JSON.stringify(error.cause) : ''}`);
  }
}
async function browse(address) {
  console.log(`browse ${address}`);
  return new URL(await next());
}
const changed = (url, name, value) => {
  const other = new URL(url);
  if (value === null) other.searchParams.delete(name);
  else other.searchParams.set(name, value);
  return other;
};
const refused = (promise, about) => assert.rejects(promise, error => about.test(`${error.code} ${error.message} ${error.cause?.message ?? ''} ${error.error ?? ''}`) || assert.fail(`refused for another reason: ${error.code} ${error.message} ${error.error}`));

/** One app's whole way, with tokens bound to its TLS certificate (RFC 8705). */
async function boundToCertificate(name, app) {
  const [verifier, state] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState()];
  let back, token;
  await step(`${name}: the citizen is asked and the browser comes back with a code`, async () => {
    assert.equal(app.server.require_pushed_authorization_requests, true);
    back = await browse(await app.ask(verifier, state));
    assert.ok(back.searchParams.get('code'));
  });
  await step(`${name}: the package refuses an answer to another state, of another server, or of none`, async () => {
    await refused(app.redeem(changed(back, 'state', 'another'), verifier, state), /state/);
    await refused(app.redeem(changed(back, 'iss', 'https://elsewhere.example/'), verifier, state), /iss/);
    await refused(app.redeem(changed(back, 'iss', null), verifier, state), /iss/);
  });
  await step(`${name}: another verifier redeems nothing`, () => refused(app.redeem(back, oauth.generateRandomCodeVerifier(), state), /invalid_grant/));
  await step(`${name}: the code becomes a token with the patient in context`, async () => {
    const answer = await app.redeem(back, verifier, state);
    assert.equal(answer.token_type, 'bearer');
    assert.equal(answer.patient, given.patient);
    assert.equal(answer.scope, 'patient/Observation.rs patient/Patient.r');
    assert.ok(answer.expires_in <= 300);
    token = answer.access_token;
  });
  await step(`${name}: the token reads what was allowed and nothing else`, async () => {
    const read = await app.fetch(token, new URL(`${given.fhir}/Patient/${given.patient}`));
    assert.equal(read.status, 200);
    assert.equal((await read.json()).id, given.patient);
    assert.equal((await app.fetch(token, new URL(`${given.fhir}/Condition/${given.condition}`))).status, 403);
  });
  await step(`${name}: introspection tells of the token`, async () => {
    const told = await app.introspect(token);
    assert.equal(told.active, true);
    assert.equal(told.client_id, given.client);
    assert.ok(told.cnf['x5t#S256']);
  });
  await step(`${name}: a revoked token is of no more use`, async () => {
    await app.revoke(token);
    assert.equal((await app.introspect(token)).active, false);
    const read = await app.fetch(token, new URL(`${given.fhir}/Patient/${given.patient}`)).catch(error => error.response ?? error.cause?.response ?? { status: error.status });
    assert.equal(read.status, 401);
  });
  await step(`${name}: what the app may not ask for is told by its code`, async () => {
    await refused(app.ask(verifier, state, { scope: 'patient/Observation.cruds' }), /invalid_scope/);
    await refused(app.ask(verifier, state, { redirect_uri: 'https://elsewhere.example/' }), /invalid_request/);
  });
  await step(`${name}: the citizen's refusal comes back as access_denied`, async () => {
    console.log('deny');
    const denied = await browse(await app.ask(verifier, state));
    await refused(app.redeem(denied, verifier, state), /access_denied/);
  });
}

for (const [name, make] of Object.entries(packages)) {
  let app;
  await step(`${name}: discovery`, async () => { app = await make(); });
  if (app) await boundToCertificate(name, app);
}
console.log(`${done} passed, ${failures} failed`);
process.exit(failures);
