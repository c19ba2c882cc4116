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
let nonces = 0;
const ca = readFileSync(given.ca);
/** What an app is: its id, its key, and connections that show its certificate where it has one. */
async function identity({ id, jwk, certificate, key }) {
  const dispatcher = new Agent({ connect: certificate ? { ca, cert: readFileSync(certificate), key: readFileSync(key) } : { ca } });
  const { kid, alg, use, ...bare } = JSON.parse(readFileSync(jwk, 'utf8'));
  const privateKey = { key: await crypto.subtle.importKey('jwk', bare, { name: 'ECDSA', namedCurve: bare.crv }, false, ['sign']), kid };
  return { id, privateKey, fetch: over(dispatcher) };
}
const over = dispatcher => async (url, options) => {
  const answer = await fetch(url, { ...options, dispatcher });
  if (/use_dpop_nonce/.test(answer.headers.get('www-authenticate') ?? (answer.status === 400 ? await answer.clone().text() : ''))) nonces++;
  return answer;
};

const issuer = new URL(given.issuer);
const scope = 'openid fhirUser launch/patient offline_access patient/Observation.rs patient/Patient.r';
// Both packages hold an ID token to this algorithm, and expect RS256 where nothing is said.
const registered = { redirect_uris: [given.redirect], id_token_signed_response_alg: 'ES256' };
const bound = { certificate: { use_mtls_endpoint_aliases: true, tls_client_certificate_bound_access_tokens: true }, key: { dpop_bound_access_tokens: true } };

// How each package does the same things. With a key, tokens are bound to it (DPoP, RFC 9449); "key" of a call stands in for the app's own,
// null for none.
const packages = {
  'openid-client': async (binding, me) => {
    const config = await oidc.discovery(issuer, me.id, { ...registered, ...bound[binding] }, oidc.PrivateKeyJwt(me.privateKey), { [oidc.customFetch]: me.fetch });
    // Signatures of ID tokens too, although they come over TLS from the server itself.
    oidc.enableNonRepudiationChecks(config);
    const newKey = async () => binding === 'key' ? oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256')) : undefined;
    const own = await newKey();
    return {
      server: config.serverMetadata(), newKey,
      async ask(verifier, state, nonce, more = {}) {
        return oidc.buildAuthorizationUrlWithPAR(config, {
          redirect_uri: given.redirect, scope, state, nonce, aud: given.fhir,
          code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
        }, { DPoP: own });
      },
      redeem: async (back, verifier, state, nonce, key = own) => {
        const answer = await oidc.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }, undefined, { DPoP: key });
        return { answer, claims: answer.claims() };
      },
      refresh: (token, scope, key = own) => oidc.refreshTokenGrant(config, token, { scope }, { DPoP: key }),
      fetch: (token, url, key = own) => oidc.fetchProtectedResource(config, token, new URL(url), 'GET', undefined, undefined, { DPoP: key ?? undefined }),
      introspect: token => oidc.tokenIntrospection(config, token),
      revoke: token => oidc.tokenRevocation(config, token),
    };
  },
  oauth4webapi: async (binding, me) => {
    const options = { [oauth.customFetch]: me.fetch };
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
    const client = { client_id: me.id, ...registered, ...bound[binding] };
    const authentication = oauth.PrivateKeyJwt(me.privateKey);
    const newKey = async () => binding === 'key' ? oauth.DPoP(client, await oauth.generateKeyPair('ES256')) : undefined;
    const own = await newKey();
    // This package tells of a nonce and leaves it to the app to come again.
    const withNonce = async run => {
      try {
        return await run();
      } catch (error) {
        if (!oauth.isDPoPNonceError(error)) throw error;
        return run();
      }
    };
    return {
      server, newKey,
      async ask(verifier, state, nonce, more = {}) {
        const challenge = await oauth.calculatePKCECodeChallenge(verifier);
        const pushed = await withNonce(async () => oauth.processPushedAuthorizationResponse(server, client, await oauth.pushedAuthorizationRequest(server, client, authentication, {
          response_type: 'code', redirect_uri: given.redirect, scope, state, nonce, aud: given.fhir, code_challenge: challenge, code_challenge_method: 'S256', ...more,
        }, { ...options, DPoP: own })));
        const address = new URL(server.authorization_endpoint);
        address.search = new URLSearchParams({ client_id: me.id, request_uri: pushed.request_uri });
        return address;
      },
      async redeem(back, verifier, state, nonce, key = own) {
        const code = oauth.validateAuthResponse(server, client, back, state);
        return withNonce(async () => {
          const response = await oauth.authorizationCodeGrantRequest(server, client, authentication, code, given.redirect, verifier, { ...options, DPoP: key });
          const answer = await oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce, requireIdToken: true });
          await oauth.validateApplicationLevelSignature(server, response, options);
          return { answer, claims: oauth.getValidatedIdTokenClaims(answer) };
        });
      },
      refresh: (token, scope, key = own) => withNonce(async () => oauth.processRefreshTokenResponse(server, client,
        await oauth.refreshTokenGrantRequest(server, client, authentication, token, { ...options, DPoP: key, additionalParameters: { scope } }))),
      fetch: (token, url, key = own) => withNonce(() => oauth.protectedResourceRequest(token, 'GET', new URL(url), undefined, undefined, { ...options, DPoP: key ?? undefined })),
      introspect: async token => oauth.processIntrospectionResponse(server, client, await oauth.introspectionRequest(server, client, authentication, token, options)),
      revoke: async token => oauth.processRevocationResponse(await oauth.revocationRequest(server, client, authentication, token, options)),
    };
  },
};

const patient = `${given.fhir}/Patient/${given.patient}`;
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
const statusOf = async promise => (await promise.catch(error => error.response ?? error.cause?.response ?? { status: error.status })).status;
const refused = (promise, about) => assert.rejects(promise, error => about.test(`${error.code} ${error.message} ${error.cause?.message ?? ''} ${error.error ?? ''}`) || assert.fail(`refused for another reason: ${error.code} ${error.message} ${error.error}`));

/** Without the citizen, on the refresh token. */
async function goOn(name, app, refresh) {
  let less;
  await step(`${name}: the refresh token gives a new access token, with less where less is asked for`, async () => {
    less = await app.refresh(refresh(), 'patient/Patient.r');
    assert.equal(less.scope, 'patient/Patient.r offline_access');
    assert.equal(less.refresh_token, undefined);
    assert.equal((await app.fetch(less.access_token, patient)).status, 200);
    assert.equal((await app.refresh(refresh(), 'patient/Patient.r patient/Observation.rs')).scope, 'patient/Patient.r patient/Observation.rs offline_access');
  });
  await step(`${name}: it gives no more than was allowed`, () => refused(app.refresh(refresh(), 'patient/Condition.r'), /invalid_scope/));
  await step(`${name}: revoked it is of no more use, nor is what it gave`, async () => {
    assert.equal((await app.introspect(refresh())).active, true);
    await app.revoke(refresh());
    assert.equal((await app.introspect(refresh())).active, false);
    await refused(app.refresh(refresh(), 'patient/Patient.r'), /invalid_grant/);
    assert.equal(await statusOf(app.fetch(less.access_token, patient)), 401);
  });
}

/** One app's whole way, with tokens bound to its TLS certificate (RFC 8705). */
async function boundToCertificate(name, app) {
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
  let back, token, refresh;
  await step(`${name}: the citizen is asked and the browser comes back with a code`, async () => {
    assert.equal(app.server.require_pushed_authorization_requests, true);
    back = await browse(await app.ask(verifier, state, nonce));
    assert.ok(back.searchParams.get('code'));
  });
  await step(`${name}: the package refuses an answer to another state, of another server, or of none`, async () => {
    await refused(app.redeem(changed(back, 'state', 'another'), verifier, state, nonce), /state/);
    await refused(app.redeem(changed(back, 'iss', 'https://elsewhere.example/'), verifier, state, nonce), /iss/);
    await refused(app.redeem(changed(back, 'iss', null), verifier, state, nonce), /iss/);
  });
  await step(`${name}: the package refuses an ID token with another nonce`, async () => {
    const other = await browse(await app.ask(verifier, state, nonce));
    await refused(app.redeem(other, verifier, state, oauth.generateRandomNonce()), /nonce/);
  });
  await step(`${name}: another verifier redeems nothing`, () => refused(app.redeem(back, oauth.generateRandomCodeVerifier(), state, nonce), /invalid_grant/));
  await step(`${name}: the code becomes a token with the patient in context`, async () => {
    const { answer, claims } = await app.redeem(back, verifier, state, nonce);
    assert.equal(answer.token_type, 'bearer');
    assert.equal(answer.patient, given.patient);
    assert.equal(answer.scope, 'openid fhirUser patient/Observation.rs patient/Patient.r offline_access');
    assert.equal(claims.fhirUser, patient);
    assert.ok(answer.expires_in <= 300);
    ({ access_token: token, refresh_token: refresh } = answer);
  });
  await step(`${name}: the token reads what was allowed and nothing else`, async () => {
    const read = await app.fetch(token, patient);
    assert.equal(read.status, 200);
    assert.equal((await read.json()).id, given.patient);
    assert.equal(await statusOf(app.fetch(token, `${given.fhir}/Condition/${given.condition}`)), 403);
  });
  await step(`${name}: introspection tells of the token`, async () => {
    const told = await app.introspect(token);
    assert.equal(told.active, true);
    assert.equal(told.client_id, given.apps.certificate.id);
    assert.ok(told.cnf['x5t#S256']);
  });
  await step(`${name}: a revoked token is of no more use`, async () => {
    await app.revoke(token);
    assert.equal((await app.introspect(token)).active, false);
    assert.equal(await statusOf(app.fetch(token, patient)), 401);
  });
  await goOn(name, app, () => refresh);
  await step(`${name}: what the app may not ask for is told by its code`, async () => {
    await refused(app.ask(verifier, state, nonce, { scope: 'patient/Observation.cruds' }), /invalid_scope/);
    await refused(app.ask(verifier, state, nonce, { redirect_uri: 'https://elsewhere.example/' }), /invalid_request/);
  });
  await step(`${name}: the citizen's refusal comes back as access_denied`, async () => {
    console.log('deny');
    const denied = await browse(await app.ask(verifier, state, nonce));
    await refused(app.redeem(denied, verifier, state, nonce), /access_denied/);
  });
}

/** One app's way with tokens bound to a key that it proves at each request (DPoP, RFC 9449), nonces included. */
async function boundToKey(name, app) {
  const [verifier, state, nonce] = [oauth.generateRandomCodeVerifier(), oauth.generateRandomState(), oauth.generateRandomNonce()];
  let back, token, refresh;
  await step(`${name}: the push proves the key, and comes again with the nonce that it is told`, async () => {
    nonces = 0;
    back = await browse(await app.ask(verifier, state, nonce));
    assert.equal(nonces, 1);
    assert.ok(back.searchParams.get('code'));
  });
  await step(`${name}: another key redeems nothing`, async () => refused(app.redeem(back, verifier, state, nonce, await app.newKey()), /invalid_grant/));
  await step(`${name}: the code becomes a token that is bound to the key`, async () => {
    const { answer, claims } = await app.redeem(back, verifier, state, nonce);
    assert.equal(answer.token_type, 'dpop');
    assert.equal(claims.fhirUser, patient);
    assert.equal(answer.patient, given.patient);
    ({ access_token: token, refresh_token: refresh } = answer);
  });
  await step(`${name}: the token reads what was allowed and nothing else`, async () => {
    const read = await app.fetch(token, patient);
    assert.equal(read.status, 200);
    assert.equal((await read.json()).id, given.patient);
    assert.equal(await statusOf(app.fetch(token, `${given.fhir}/Condition/${given.condition}`)), 403);
  });
  await step(`${name}: without its key, or with another, the token reads nothing`, async () => {
    assert.equal(await statusOf(app.fetch(token, patient, null)), 401);
    nonces = 0;
    assert.equal(await statusOf(app.fetch(token, patient, await app.newKey())), 401);
    // Another key is told nothing, not even a nonce.
    assert.equal(nonces, 0);
  });
  await step(`${name}: introspection tells of the key`, async () => assert.ok((await app.introspect(token)).cnf.jkt));
  await step(`${name}: a revoked token is of no more use, key or not`, async () => {
    await app.revoke(token);
    assert.equal((await app.introspect(token)).active, false);
    assert.equal(await statusOf(app.fetch(token, patient)), 401);
  });
  await step(`${name}: another key refreshes nothing`, async () => refused(app.refresh(refresh, 'patient/Patient.r', await app.newKey()), /invalid_grant/));
  await goOn(name, app, () => refresh);
}

for (const [name, make] of Object.entries(packages))
  for (const [binding, go] of Object.entries({ certificate: boundToCertificate, key: boundToKey })) {
    let app;
    await step(`${name}, bound to ${binding}: discovery`, async () => { app = await make(binding, await identity(given.apps[binding])); });
    if (app) await go(`${name}, bound to ${binding}`, app);
  }
console.log(`${done} passed, ${failures} failed`);
process.exit(failures);
