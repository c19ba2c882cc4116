// The surface of the gateway as fhir-kit-client uses it. Prints one line a step; the exit code is the number of failures.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Client } from 'fhir-kit-client';
import { Agent } from 'undici';

const given = JSON.parse(readFileSync(0, 'utf8'));
const tls = { ca: readFileSync(given.ca), cert: readFileSync(given.certificate), key: readFileSync(given.key) };
const client = new Client({ baseUrl: given.base, requestOptions: { dispatcher: new Agent({ connect: tls }) } });
client.bearerToken = given.token;

const patient = { reference: `Patient/${given.patient}` };
const note = (code, value) => ({
  resourceType: 'Observation', status: 'final', subject: patient,
  code: { coding: [{ system: 'http://loinc.org', code }] },
  ...(value === undefined ? {} : { valueQuantity: { value, unit: 'kg', system: 'http://unitsofmeasure.org', code: 'kg' } }),
});
const header = (answer, name) => Client.httpFor(answer).response.headers.get(name);
const refused = async (status, call) => {
  try {
    await call();
  } catch (error) {
    assert.equal(error.response.status, status);
    assert.equal(error.response.data.resourceType, 'OperationOutcome');
    return error.response.data;
  }
  assert.fail(`it was not refused with ${status}`);
};
const idsOf = bundle => (bundle.entry ?? []).filter(e => e.search?.mode !== 'outcome').map(e => e.resource.id);

let stored;
const steps = {
  'the CapabilityStatement lists what is served': async () => {
    const statement = await client.capabilityStatement();
    assert.equal(statement.fhirVersion, '4.0.1');
    assert.ok(statement.rest[0].resource.some(r => r.type === 'Observation'));
  },
  'SMART metadata tells where tokens come from': async () => {
    assert.ok((await client.smartAuthMetadata()).tokenUrl);
  },
  'a resource is created and read back': async () => {
    stored = await client.create({ resourceType: 'Observation', body: note('29463-7', 70) });
    const read = await client.read({ resourceType: 'Observation', id: stored.id });
    assert.deepEqual(read, stored);
    assert.equal(header(read, 'etag'), `W/"${stored.meta.versionId}"`);
  },
  'a version is read by its id': async () => {
    const version = await client.vread({ resourceType: 'Observation', id: stored.id, version: stored.meta.versionId });
    assert.equal(version.meta.versionId, stored.meta.versionId);
  },
  'an update without the version that was read is refused, with it it succeeds': async () => {
    await refused(428, () => client.update({ resourceType: 'Observation', id: stored.id, body: stored }));
    const options = { headers: { 'If-Match': `W/"${stored.meta.versionId}"` } };
    const updated = await client.update({ resourceType: 'Observation', id: stored.id, body: { ...stored, note: [{ text: 'korjattu' }] }, options });
    assert.notEqual(updated.meta.versionId, stored.meta.versionId);
    await refused(412, () => client.update({ resourceType: 'Observation', id: stored.id, body: stored, options }));
    stored = updated;
  },
  'a JSON Patch changes one element': async () => {
    const patched = await client.patch({ resourceType: 'Observation', id: stored.id, jsonPatch: [{ op: 'replace', path: '/status', value: 'amended' }] });
    assert.equal(patched.status, 'amended');
    assert.equal(patched.note[0].text, 'korjattu');
    stored = patched;
  },
  'a conditional update finds its one match, and creates where there is none': async () => {
    const searchParams = { patient: given.patient, identifier: 'urn:kit|conditional' };
    const body = { ...note('8302-2', 180), identifier: [{ system: 'urn:kit', value: 'conditional' }] };
    const created = await client.update({ resourceType: 'Observation', searchParams, body });
    const again = await client.update({ resourceType: 'Observation', searchParams, body: { ...body, status: 'amended' }, options: { headers: { 'If-Match': header(created, 'etag') } } });
    assert.equal(again.id, created.id);
    assert.equal(again.status, 'amended');
  },
  'a search by GET and one by POST find the same': async () => {
    const searchParams = { patient: given.patient, code: 'http://loinc.org|29463-7', 'value-quantity': 'gt60|http://unitsofmeasure.org|kg' };
    const got = await client.resourceSearch({ resourceType: 'Observation', searchParams });
    const posted = await client.resourceSearch({ resourceType: 'Observation', searchParams, options: { postSearch: true } });
    assert.deepEqual(idsOf(got), [stored.id]);
    assert.deepEqual(idsOf(posted), idsOf(got));
  },
  'pages follow one another to the end and hold everything once': async () => {
    for (let i = 0; i < 5; i++)
      await client.create({ resourceType: 'Observation', body: note('2339-0', i) });
    let page = await client.resourceSearch({ resourceType: 'Observation', searchParams: { patient: given.patient, code: '2339-0', _count: '2', _sort: '-_lastUpdated' } });
    assert.equal(page.total, 5);
    const seen = idsOf(page);
    while (page.link.some(l => l.relation === 'next')) {
      page = await client.nextPage({ bundle: page });
      seen.push(...idsOf(page));
    }
    assert.equal(seen.length, 5);
    assert.equal(new Set(seen).size, 5);
  },
  'an include brings the patient along': async () => {
    const found = await client.resourceSearch({ resourceType: 'Observation', searchParams: { patient: given.patient, code: '29463-7', _include: 'Observation:patient' } });
    assert.deepEqual(found.entry.map(e => e.search.mode), ['match', 'include']);
    assert.equal(found.entry[1].resource.id, given.patient);
  },
  'a compartment search is a search for that patient': async () => {
    const found = await client.compartmentSearch({ resourceType: 'Observation', compartment: { resourceType: 'Patient', id: given.patient }, searchParams: { code: '29463-7' } });
    assert.deepEqual(idsOf(found), [stored.id]);
  },
  'the history of a resource holds its versions, newest first': async () => {
    const history = await client.resourceHistory({ resourceType: 'Observation', id: stored.id });
    assert.equal(history.entry[0].resource.meta.versionId, stored.meta.versionId);
    assert.equal(history.total, 3);
  },
  'a search across patients and the history of the system are refused with what to do instead': async () => {
    for (const call of [() => client.resourceSearch({ resourceType: 'Observation', searchParams: { code: '29463-7' } }), () => client.systemHistory(), () => client.systemSearch({ searchParams: { _id: stored.id } })]) {
      let outcome;
      try { await call(); } catch (error) { outcome = error.response.data; }
      assert.equal(outcome?.resourceType, 'OperationOutcome');
      assert.ok(outcome.issue[0].diagnostics.length > 20);
    }
  },
  'references are resolved, relative and absolute and contained': async () => {
    assert.equal((await client.resolve({ reference: patient.reference })).id, given.patient);
    assert.equal((await client.resolve({ reference: `${given.base}/Observation/${stored.id}` })).id, stored.id);
    const withContained = { ...note('29463-7'), contained: [{ resourceType: 'Device', id: 'scale' }], device: { reference: '#scale' } };
    const created = await client.create({ resourceType: 'Observation', body: withContained });
    assert.equal((await client.resolve({ reference: '#scale', context: created })).resourceType, 'Device');
    await client.delete({ resourceType: 'Observation', id: created.id });
  },
  'a transaction stores all of it or nothing': async () => {
    const entry = (url, resource) => ({ fullUrl: url, resource, request: { method: 'POST', url: resource.resourceType } });
    const condition = { resourceType: 'Condition', subject: patient, code: { text: 'unettomuus' } };
    const answer = await client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: [
      entry('urn:uuid:7a0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c01', condition),
      entry('urn:uuid:7a0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c02', { ...note('72514-3', 3), focus: [{ reference: 'urn:uuid:7a0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c01' }] }),
    ] } });
    assert.equal(answer.type, 'transaction-response');
    assert.ok(answer.entry.every(e => e.response.status.startsWith('201')));
    const before = (await client.resourceSearch({ resourceType: 'Condition', searchParams: { patient: given.patient } })).total;
    await refused(422, () => client.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: [
      entry('urn:uuid:7a0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c03', condition),
      entry('urn:uuid:7a0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1c04', { ...note('72514-3', 3), focus: [{ reference: 'urn:uuid:7a0ffd5e-0a3c-4b1c-9f6e-0d2f6b7a1cff' }] }),
    ] } }));
    assert.equal((await client.resourceSearch({ resourceType: 'Condition', searchParams: { patient: given.patient } })).total, before);
  },
  'a batch answers each entry for itself': async () => {
    const answer = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry: [
      { request: { method: 'GET', url: `Observation/${stored.id}` } },
      { request: { method: 'GET', url: 'Observation/00000000-0000-4000-8000-000000000000' } },
    ] } });
    assert.deepEqual(answer.entry.map(e => e.response.status.slice(0, 3)), ['200', '404']);
  },
  '$everything brings the whole record that may be seen': async () => {
    const all = await client.operation({ name: 'everything', resourceType: 'Patient', id: given.patient, method: 'GET' });
    const types = new Set(all.entry.map(e => e.resource.resourceType));
    assert.ok(types.has('Patient') && types.has('Observation') && types.has('Condition'));
  },
  '$validate says what is wrong and stores nothing': async () => {
    const outcome = await client.operation({ name: 'validate', resourceType: 'Observation', input: { ...note('29463-7', 70), status: undefined } });
    assert.ok(outcome.issue.some(i => i.severity === 'error'));
  },
  '$meta gives the metadata of a resource': async () => {
    const answer = await client.operation({ name: 'meta', resourceType: 'Observation', id: stored.id, method: 'GET' });
    assert.equal(answer.parameter[0].valueMeta.versionId, stored.meta.versionId);
  },
  'a resource is deleted, and its history remains': async () => {
    await client.delete({ resourceType: 'Observation', id: stored.id });
    await refused(410, () => client.read({ resourceType: 'Observation', id: stored.id }));
    const history = await client.resourceHistory({ resourceType: 'Observation', id: stored.id });
    assert.equal(history.entry[0].request.method, 'DELETE');
  },
};

let failed = 0;
for (const [title, step] of Object.entries(steps)) {
  try {
    await step();
    console.log(`passed  ${title}`);
  } catch (error) {
    failed++;
    const outcome = error.response?.data?.issue?.map(i => `${i.expression ?? ''} ${i.diagnostics}`).join('; ');
    console.log(`FAILED  ${title}: ${outcome ? `${error.response.status} ${outcome}` : error.message}`);
  }
}
process.exit(failed);
