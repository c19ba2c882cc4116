using System.Text.Json.Nodes;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Harness.Verification;

/// <summary>Checks beside the main scenario, each standing alone: identification, formats, bad input, interactions.</summary>
public sealed class FurtherChecks : IDisposable
{
    private readonly DevFolder _folder;
    private readonly Uri _target;
    private readonly string _own;
    private readonly string _other;
    private readonly ClinicClient _clinic;
    private readonly string _identityCode;
    private string _patient = "";

    /// <param name="seed">Which fictional person the checks are about.</param>
    public FurtherChecks(DevFolder folder, Uri target, string own = "aurora", string other = "revontuli", int? seed = null)
    {
        _identityCode = FictionalIdentityCode.Of(seed is { } given ? string.Create(global::System.Globalization.CultureInfo.InvariantCulture, $"verify/{given}") : Guid.NewGuid().ToString()).Reveal();
        (_folder, _target, _own, _other) = (folder, target, own, other);
        _clinic = ClinicClient.Open(folder, own, target);
    }

    /// <summary>Personal data and tokens that the checks used.</summary>
    public IReadOnlyList<string> Secrets => [_identityCode, "Tarkastus Tahvo", .. _clinic.TokensSeen];

    private FhirSession System => _clinic.System;

    public async Task RunAsync(Steps steps, CancellationToken cancel = default)
    {
        await steps.PrepareAsync("fhir.patient", "a fictional patient is registered for the checks, and a visit opened", async () =>
        {
            _patient = await ArchivedVisit.RegisterAsync(System, _identityCode, "Tarkastus Tahvo", cancel).ConfigureAwait(false);
            // Whoever has one counts for nobody's budget.
            Expect.Status(await System.CreateAsync("Encounter", Some.Bytes(Some.Encounter($"Patient/{_patient}", Some.ServiceEvent(System.Client))), cancel: cancel).ConfigureAwait(false), "a visit", 201);
        }, "connection", "smart", "fhir", "search", "load").ConfigureAwait(false);
        await ConnectionChecks.RunAsync(steps, _clinic, _patient, cancel).ConfigureAwait(false);
        await IdentificationAsync(steps, cancel).ConfigureAwait(false);
        await FormatsAsync(steps, cancel).ConfigureAwait(false);
        await BadInputAsync(steps, cancel).ConfigureAwait(false);
        await InteractionsAsync(steps, cancel).ConfigureAwait(false);
        await AdapterChecks.RunAsync(steps, _clinic, cancel).ConfigureAwait(false);
        await LoadChecks.RunAsync(steps, _clinic, _patient, cancel).ConfigureAwait(false);
        await PortalChecks.RunAsync(steps, _folder, _target, cancel).ConfigureAwait(false);
        using var other = ClinicClient.Open(_folder, _other, _target);
        await ReceiptChecks.RunAsync(steps, _clinic, other, cancel).ConfigureAwait(false);
    }

    public void Dispose() => _clinic.Dispose();

    private async Task IdentificationAsync(Steps steps, CancellationToken cancel)
    {
        await steps.AlsoAsync("smart.no-token", "refuses a request without a token", async () =>
            Unidentified(await _clinic.With(null).ReadAsync("Patient", _patient, cancel).ConfigureAwait(false), "no token")).ConfigureAwait(false);
        await steps.AlsoAsync("connection.no-certificate", "refuses a token without its certificate", async () =>
        {
            using var bare = ClinicClient.Open(_folder, _own, _target, certificateOf: "");
            Unidentified(await bare.With(await _clinic.TokenAsync(cancel).ConfigureAwait(false)).ReadAsync("Patient", _patient, cancel).ConfigureAwait(false), "no certificate");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("connection.other-certificate", "refuses a token with another clinic's certificate", async () =>
        {
            using var thief = ClinicClient.Open(_folder, _own, _target, certificateOf: _other);
            Unidentified(await thief.With(await _clinic.TokenAsync(cancel).ConfigureAwait(false)).ReadAsync("Patient", _patient, cancel).ConfigureAwait(false), "another certificate");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("smart.altered-token", "refuses a token whose signature was altered", async () =>
        {
            var token = (await _clinic.TokenAsync(cancel).ConfigureAwait(false))!;
            var altered = token[..^8] + (token[^8] == 'A' ? 'B' : 'A') + token[^7..];
            Unidentified(await _clinic.With(altered).ReadAsync("Patient", _patient, cancel).ConfigureAwait(false), "an altered token");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("smart.foreign-token", "refuses a token that somebody else signed", async () =>
            Unidentified(await _clinic.With(_clinic.Assertion(audience: $"{_target.GetLeftPart(UriPartial.Authority)}/fhir")).ReadAsync("Patient", _patient, cancel).ConfigureAwait(false), "a foreign signature")).ConfigureAwait(false);
        await steps.AlsoAsync("smart.subject-token", "refuses a professional's subject token in place of an access token", async () =>
        {
            var (subject, _) = await _clinic.SubjectTokenAsync(_folder.ProfessionalOf(_own).Id, cancel).ConfigureAwait(false);
            Unidentified(await _clinic.With(subject).ReadAsync("Patient", _patient, cancel).ConfigureAwait(false), "a token for another audience");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("smart.foreign-professional", "refuses another clinic's professional in a token exchange", async () =>
        {
            var subject = await _clinic.SubjectTokenAsync(_folder.ProfessionalOf(_other).Id, cancel).ConfigureAwait(false);
            await NoTokenAsync(() => _clinic.ExchangeAsync(subject, cancel: cancel), "another clinic's professional").ConfigureAwait(false);
        }).ConfigureAwait(false);
        await steps.AlsoAsync("smart.replay", "refuses a client assertion used twice", async () =>
        {
            var assertion = _clinic.Assertion();
            await _clinic.RequestSystemTokenAsync(assertion, cancel: cancel).ConfigureAwait(false);
            await NoTokenAsync(() => _clinic.RequestSystemTokenAsync(assertion, cancel: cancel), "a replayed assertion").ConfigureAwait(false);
        }).ConfigureAwait(false);
        await steps.AlsoAsync("smart.assertion-life", "refuses a client assertion that lives for five hours", () =>
            NoTokenAsync(() => _clinic.RequestSystemTokenAsync(_clinic.Assertion(lifetime: TimeSpan.FromHours(5)), cancel: cancel), "a long-lived assertion")).ConfigureAwait(false);
        await steps.AlsoAsync("smart.assertion-audience", "refuses a client assertion for another server", () =>
            NoTokenAsync(() => _clinic.RequestSystemTokenAsync(_clinic.Assertion(audience: "https://elsewhere.example/token"), cancel: cancel), "a foreign audience")).ConfigureAwait(false);
        await steps.AlsoAsync("smart.unregistered-key", "refuses a client assertion under an unregistered key", async () =>
        {
            using var stranger = global::System.Security.Cryptography.ECDsa.Create(global::System.Security.Cryptography.ECCurve.NamedCurves.nistP384);
            using var rsa = global::System.Security.Cryptography.RSA.Create(2048);
            var key = _clinic.Client.Alg.StartsWith("ES", StringComparison.Ordinal)
                ? JsonWebKeyConverter.ConvertFromECDsaSecurityKey(new ECDsaSecurityKey(stranger))
                : JsonWebKeyConverter.ConvertFromRSASecurityKey(new RsaSecurityKey(rsa.ExportParameters(true)));
            key.KeyId = _clinic.Client.Kid;
            await NoTokenAsync(() => _clinic.RequestSystemTokenAsync(_clinic.Assertion(key: key), cancel: cancel), "an unregistered key").ConfigureAwait(false);
        }).ConfigureAwait(false);
        await steps.AlsoAsync("connection.token-without-certificate", "refuses a token to a client without its certificate", async () =>
        {
            using var bare = ClinicClient.Open(_folder, _own, _target, certificateOf: "");
            await NoTokenAsync(() => bare.RequestSystemTokenAsync(cancel: cancel), "no certificate").ConfigureAwait(false);
        }).ConfigureAwait(false);
        await steps.AlsoAsync("smart.scope", "lets a token do what its scope says and no more", () => ScopeAsync(cancel)).ConfigureAwait(false);
        await AppChecks.RunAsync(steps, _clinic, cancel).ConfigureAwait(false);
        await steps.AlsoAsync("smart.discovery", "publishes what clients need, and nothing weaker than it promises", () => DiscoveryAsync(cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.metadata", "says what it does in a CapabilityStatement", async () =>
        {
            var statement = Expect.Status(await _clinic.SendAsync(HttpMethod.Get, "metadata", cancel: cancel).ConfigureAwait(false), "metadata", 200).Json;
            Expect.That(Appearance.Kind(statement) == "CapabilityStatement" && statement.GetProperty("fhirVersion").GetString() == "4.0.1", "a CapabilityStatement of FHIR 4.0.1", Appearance.Kind(statement));
        }).ConfigureAwait(false);
        await steps.AlsoAsync("smart.token-life", "gives every clinic of the folder a token, whatever its algorithm", async () =>
        {
            foreach (var name in _folder.Clinics)
            {
                using var clinic = ClinicClient.Open(_folder, name, _target);
                var token = await clinic.RequestSystemTokenAsync(cancel: cancel).ConfigureAwait(false);
                Expect.That(token.ExpiresIn <= TimeSpan.FromSeconds(300), $"a life of at most 300 s for {name}", $"{token.ExpiresIn.TotalSeconds} s");
            }
        }).ConfigureAwait(false);
    }

    private async Task DiscoveryAsync(CancellationToken cancel)
    {
        var configuration = Expect.Status(await _clinic.SendAsync(HttpMethod.Get, "/fhir/.well-known/smart-configuration", cancel: cancel).ConfigureAwait(false), "smart-configuration", 200).Json;
        foreach (var (member, value) in new[]
            {
                ("grant_types_supported", "client_credentials"), ("grant_types_supported", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("token_endpoint_auth_methods_supported", "private_key_jwt"), ("token_endpoint_auth_signing_alg_values_supported", _clinic.Client.Alg), ("code_challenge_methods_supported", "S256"),
            })
            Expect.That(List(member).Contains(value), $"{value} in {member}", string.Join(", ", List(member)));
        Expect.That(!List("code_challenge_methods_supported").Contains("plain"), "no code challenge in the plain", "plain");
        Expect.That(!List("token_endpoint_auth_methods_supported").Any(m => m.StartsWith("client_secret", StringComparison.Ordinal) || m == "none"), "no shared secrets and no clients without a key", string.Join(", ", List("token_endpoint_auth_methods_supported")));
        Expect.That(configuration.TryGetProperty("tls_client_certificate_bound_access_tokens", out var bound) && bound.ValueKind == global::System.Text.Json.JsonValueKind.True, "certificate-bound access tokens", "others");

        List<string> List(string member) => configuration.TryGetProperty(member, out var list) ? [.. list.EnumerateArray().Select(v => v.GetString()!)] : [];
    }

    private async Task ScopeAsync(CancellationToken cancel)
    {
        var narrow = _clinic.With((await _clinic.RequestSystemTokenAsync(scope: "system/Observation.rs", cancel: cancel).ConfigureAwait(false)).Value);
        Expect.Refusal(await narrow.CreateAsync("Observation", Some.Bytes(Some.Observation($"Patient/{_patient}")), cancel: cancel).ConfigureAwait(false), "a creation under a scope to read", [403]);
        Expect.Refusal(await narrow.SearchAsync("Condition", $"patient={_patient}", cancel).ConfigureAwait(false), "a search of another type than the scope's", [403]);
    }

    private async Task FormatsAsync(Steps steps, CancellationToken cancel)
    {
        foreach (var address in (string[])[$"Patient?identifier=urn:oid:1.2.246.21|{_identityCode}", $"Observation?patient.identifier={Uri.EscapeDataString("urn:oid:1.2.246.21|" + _identityCode)}", $"Patient/{_identityCode}"])
            await steps.AlsoAsync("fhir.identity-code-in-url", $"refuses an identity code in a URL ({address.Split('?', '/')[0]}{(address.Contains('?', StringComparison.Ordinal) ? " search" : " read")})", async () =>
            {
                var reply = await System.SendAsync(HttpMethod.Get, address, cancel: cancel).ConfigureAwait(false);
                Expect.Refusal(reply, "an identity code in a URL", [400]);
                Expect.That(reply.Issues.Any(i => i.Diagnostics?.Contains("_search", StringComparison.Ordinal) == true), "the answer to name POST _search", $"{reply.Status} without it");
                Expect.That(!BadInput.Echoes(reply), "an answer that does not repeat the code", "the code");
            }).ConfigureAwait(false);
        await steps.AlsoAsync("search.identity-code", "finds a person by identity code in a POST _search", async () =>
        {
            var reply = Expect.Status(await System.SearchAsync("Patient", $"identifier={Uri.EscapeDataString("urn:oid:1.2.246.21|" + _identityCode)}", cancel).ConfigureAwait(false), "POST Patient/_search", 200);
            Expect.That(Appearance.Ids(reply) is [var id] && id == _patient, "the one Patient", $"{Appearance.Ids(reply).Count} entries");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.xml", "answers XML to a reader of XML", async () =>
        {
            var reply = Expect.Status(await System.SendAsync(HttpMethod.Get, $"Patient/{_patient}", headers: [("Accept", "application/fhir+xml")], cancel: cancel).ConfigureAwait(false), "Accept: application/fhir+xml", 200);
            Expect.That(reply.Headers["Content-Type"].StartsWith("application/fhir+xml", StringComparison.Ordinal), "application/fhir+xml", reply.Headers["Content-Type"]);
        }).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.html", "answers 406 to a reader of HTML", async () =>
            Expect.Refusal(await System.SendAsync(HttpMethod.Get, $"Patient/{_patient}", headers: [("Accept", "text/html")], cancel: cancel).ConfigureAwait(false), "Accept: text/html", [406])).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.text", "answers 415 to a writer of text", async () =>
            Expect.Refusal(await System.SendAsync(HttpMethod.Post, "Observation", "Observation"u8.ToArray(), contentType: "text/plain", cancel: cancel).ConfigureAwait(false), "Content-Type: text/plain", [415])).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.correlation", "answers with X-Correlation-Id and accepts X-Request-Id", async () =>
        {
            var reply = await System.SendAsync(HttpMethod.Get, $"Patient/{_patient}", headers: [("X-Request-Id", Guid.NewGuid().ToString())], cancel: cancel).ConfigureAwait(false);
            Expect.Status(reply, "a read with X-Request-Id", 200);
            Expect.That(reply.Headers.ContainsKey("X-Correlation-Id"), "X-Correlation-Id in the answer", "none");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.path", "refuses a path that tries to leave the FHIR base", async () =>
        {
            foreach (var path in (string[])["/fhir/..%2fpolicy", "/fhir/%2e%2e/policy", "/fhir//policy", "/fhir/..%5cpolicy"])
            {
                var reply = await System.SendAsync(HttpMethod.Get, path, cancel: cancel).ConfigureAwait(false);
                Expect.That(reply.Status is >= 400 and < 500, $"a refusal of {path}", $"{reply}");
            }
        }).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.internal-headers", "ignores internal headers that a client sends", async () =>
            Expect.Status(await System.SendAsync(HttpMethod.Get, $"Patient/{_patient}", headers: [("X-Kanta-Grant", "x"), ("X-Kanta-Base", "https://elsewhere.example/fhir")], cancel: cancel).ConfigureAwait(false), "a read with internal headers", 200)).ConfigureAwait(false);
    }

    private async Task BadInputAsync(Steps steps, CancellationToken cancel)
    {
        foreach (var bad in BadInput.All)
            await steps.AlsoAsync(Check.InputId(bad.Name), $"refuses {bad.Name}", () => RefusesAsync(bad.Name, (p, m) => bad.Send(System, p, m, cancel), bad.Statuses, bad.Expression, cancel)).ConfigureAwait(false);
        await steps.AlsoAsync(Check.InputId(BadInput.OtherCompartment), $"refuses {BadInput.OtherCompartment}", () =>
            RefusesAsync("a reference to another compartment", (p, m) => BadInput.OtherCompartmentAsync(System, p, m, cancel), [400, 422], "Observation.encounter", cancel)).ConfigureAwait(false);
    }

    /// <summary>Refused, at the right place, with nothing stored and the connection alive.</summary>
    private async Task RefusesAsync(string what, Func<string, string, Task<FhirReply>> send, int[] statuses, string? expression, CancellationToken cancel)
    {
        var marker = $"urn:uuid:{Guid.NewGuid()}";
        var reply = await send(_patient, marker).ConfigureAwait(false);
        Expect.Refusal(reply, what, statuses, expression);
        Expect.That(!BadInput.Echoes(reply), "an answer that repeats no identity code", "one that does");
        var trace = Expect.Status(await System.SearchAsync("Observation", $"patient={_patient}&identifier={Uri.EscapeDataString(marker)}", cancel).ConfigureAwait(false), $"a search after {what}", 200);
        Expect.That(Appearance.Total(trace) == 0, "nothing of it stored", $"{Appearance.Total(trace)} resources");
    }

    private async Task InteractionsAsync(Steps steps, CancellationToken cancel)
    {
        await steps.AlsoAsync("fhir.life", "create, read, update with If-Match, vread, history, delete", () => LifeOfAResourceAsync(cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("search.parameters", "search by code, category, date, status, identifier, _id, _lastUpdated", () => SearchesAsync(cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("search.paging", "paging gives every entry once", () => PagingAsync(cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("search.unknown-parameter", "refuses an unknown search parameter", async () =>
            Expect.Refusal(await System.SearchAsync("Observation", $"patient={_patient}&colour=red", cancel).ConfigureAwait(false), "an unknown parameter", [400])).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.batch", "a batch answers each entry for itself", () => BatchAsync(cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.transaction", "a transaction resolves its own references", () => TransactionAsync(cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.foreign-write", "another clinic cannot change an entry", () => ForeignWriteAsync(cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("fhir.directory", "directory entries are readable by every clinic", () => DirectoryAsync(cancel)).ConfigureAwait(false);
    }

    private async Task LifeOfAResourceAsync(CancellationToken cancel)
    {
        var body = Some.Observation($"Patient/{_patient}");
        var created = Expect.Status(await System.CreateAsync("Observation", Some.Bytes(body), cancel: cancel).ConfigureAwait(false), "create", 201);
        var (type, id) = created.Stored ?? throw new ExpectationException("a Location", "none");
        var read = Expect.Status(await System.ReadAsync(type, id, cancel).ConfigureAwait(false), "read", 200);
        Expect.That(read.ETag is not null && read.ETag == created.ETag, "the same ETag from create and read", $"{created.ETag} and {read.ETag}");
        Expect.That(read.Headers.ContainsKey("Last-Modified"), "Last-Modified", "none");

        body["id"] = id;
        body["status"] = "amended";
        var changed = Some.Bytes(body);
        Expect.Refusal(await System.UpdateAsync(type, id, changed, null, cancel).ConfigureAwait(false), "an update without If-Match", [428]);
        Expect.Refusal(await System.UpdateAsync(type, id, changed, $"W/\"{Guid.NewGuid()}\"", cancel).ConfigureAwait(false), "an update of another version", [412]);
        var updated = Expect.Status(await System.UpdateAsync(type, id, changed, read.ETag, cancel).ConfigureAwait(false), "an update with If-Match", 200);
        Expect.That(updated.ETag is not null && updated.ETag != read.ETag, "a new version", $"{updated.ETag}");
        Expect.Refusal(await System.UpdateAsync(type, id, changed, read.ETag, cancel).ConfigureAwait(false), "a second update of the old version", [412]);

        var old = Expect.Status(await System.ReadVersionAsync(type, id, read.VersionId!, cancel).ConfigureAwait(false), "vread of the first version", 200);
        Expect.That(old.Json.GetProperty("status").GetString() == "final", "the first version as it was", "another");
        var history = Expect.Status(await System.HistoryAsync(type, id, cancel).ConfigureAwait(false), "history", 200);
        Expect.That(history.Json.GetProperty("type").GetString() == "history" && Appearance.Ids(history).Count == 2, "a history of two versions", $"{Appearance.Ids(history).Count}");

        Expect.Status(await System.DeleteAsync(type, id, cancel).ConfigureAwait(false), "delete", 204);
        Expect.Refusal(await System.ReadAsync(type, id, cancel).ConfigureAwait(false), "a read after the delete", [410]);
        Expect.Status(await System.ReadVersionAsync(type, id, updated.VersionId!, cancel).ConfigureAwait(false), "vread after the delete: history is never rewritten", 200);
        var found = Expect.Status(await System.SearchAsync(type, $"patient={_patient}&_id={id}", cancel).ConfigureAwait(false), "a search after the delete", 200);
        Expect.That(Appearance.Total(found) == 0, "no deleted entry in a searchset", $"{Appearance.Total(found)}");
    }

    private async Task SearchesAsync(CancellationToken cancel)
    {
        var marker = $"urn:uuid:{Guid.NewGuid()}";
        var created = Expect.Status(await System.CreateAsync("Observation", Some.Bytes(Some.Observation($"Patient/{_patient}", code: "29463-7", identifier: marker)), cancel: cancel).ConfigureAwait(false), "create", 201);
        var id = created.Stored!.Value.Id;
        var today = DateTime.UtcNow.ToString("yyyy-MM-dd", global::System.Globalization.CultureInfo.InvariantCulture);
        foreach (var parameters in (string[])
            [
                $"patient={_patient}&code=http://loinc.org|29463-7", $"patient=Patient/{_patient}&code=29463-7", $"subject=Patient/{_patient}&category=vital-signs&_id={id}",
                $"patient={_patient}&date=ge2020-01-01&_id={id}", $"patient={_patient}&status=final&_id={id}", $"patient={_patient}&identifier={Uri.EscapeDataString(marker)}",
                $"patient={_patient}&_id={id}", $"patient={_patient}&_lastUpdated=ge{today}&_id={id}", $"patient={_patient}&code=http://loinc.org|8867-4,http://loinc.org|29463-7&_id={id}",
            ])
        {
            var reply = Expect.Status(await System.SearchAsync("Observation", Encoded(parameters), cancel).ConfigureAwait(false), $"a search by {Names(parameters)}", 200);
            Expect.That(Appearance.Ids(reply).Contains(id), $"the Observation in a search by {Names(parameters)}", $"{Appearance.Ids(reply).Count} others");
            var got = Expect.Status(await System.SendAsync(HttpMethod.Get, $"Observation?{Encoded(parameters)}", cancel: cancel).ConfigureAwait(false), $"a GET search by {Names(parameters)}", 200);
            Expect.That(Appearance.Ids(got).SequenceEqual(Appearance.Ids(reply)), "GET and POST to find the same", "something else");
        }
        foreach (var parameters in (string[])[$"patient={_patient}&_id={id}&code=8867-4", $"patient={_patient}&_id={id}&date=lt2020-01-01", $"patient={_patient}&_id={id}&status=cancelled", $"patient={_patient}&_id={id}&category=laboratory"])
        {
            var reply = Expect.Status(await System.SearchAsync("Observation", Encoded(parameters), cancel).ConfigureAwait(false), $"a search by {Names(parameters)}", 200);
            Expect.That(Appearance.Total(reply) == 0, $"nothing in a search by other {Names(parameters)}", $"{Appearance.Total(reply)}");
        }
    }

    private async Task PagingAsync(CancellationToken cancel)
    {
        var marker = $"urn:uuid:{Guid.NewGuid()}";
        var entries = Enumerable.Range(0, 7).Select(_ => (Some.Url(), Some.Observation($"Patient/{_patient}", identifier: marker)));
        var stored = ArchivedVisit.StoredBy(await System.BundleAsync(Some.Bundle("transaction", entries), cancel).ConfigureAwait(false), 7).Select(s => s.Id).Order().ToList();
        var seen = new List<string>();
        var page = Expect.Status(await System.SearchAsync("Observation", $"patient={_patient}&identifier={Uri.EscapeDataString(marker)}&_count=3", cancel).ConfigureAwait(false), "the first page", 200);
        Expect.That(Appearance.Total(page) == 7, "a total of 7", $"{Appearance.Total(page)}");
        for (var pages = 1; ; pages++)
        {
            Expect.That(Appearance.Ids(page).Count <= 3 && pages <= 3, "three pages of at most three", $"page {pages} of {Appearance.Ids(page).Count}");
            seen.AddRange(Appearance.Ids(page));
            if (Appearance.Next(page) is not { } next)
                break;
            Expect.That(!next.Contains(_patient, StringComparison.Ordinal), "a link that names no patient", "one that does");
            page = Expect.Status(await System.SendAsync(HttpMethod.Get, next, cancel: cancel).ConfigureAwait(false), "the next page", 200);
        }
        Expect.That(seen.Order().SequenceEqual(stored), "every entry once", $"{seen.Count} entries, {seen.Distinct().Count()} different");
    }

    private async Task BatchAsync(CancellationToken cancel)
    {
        var broken = Some.Observation($"Patient/{_patient}");
        broken.Remove("status");
        var batch = JsonNode.Parse(Some.Bundle("batch", (Some.Url(), Some.Observation($"Patient/{_patient}")), (Some.Url(), broken)))!.AsObject();
        batch["entry"]!.AsArray().Add(new JsonObject { ["request"] = new JsonObject { ["method"] = "GET", ["url"] = $"Patient/{_patient}" } });
        batch["entry"]!.AsArray().Add(new JsonObject { ["request"] = new JsonObject { ["method"] = "GET", ["url"] = $"Observation/{Guid.NewGuid()}" } });
        var reply = Expect.Status(await System.BundleAsync(Some.Bytes(batch), cancel).ConfigureAwait(false), "a batch", 200);
        Expect.That(reply.Json.GetProperty("type").GetString() == "batch-response", "a batch-response", reply.Json.GetProperty("type").GetString() ?? "");
        var statuses = reply.Json.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("response").GetProperty("status").GetString()![..3]).ToList();
        Expect.That(statuses is ["201", "400" or "422", "200", "404"], "201, 400 or 422, 200, 404", string.Join(", ", statuses));
        var outcome = reply.Json.GetProperty("entry")[1].GetProperty("response").GetProperty("outcome");
        Expect.That(FhirReply.IssuesOf(outcome).Any(i => i.Expression is not null), "an outcome with an expression for the refused entry", "none");
    }

    private async Task TransactionAsync(CancellationToken cancel)
    {
        var visit = await ArchivedVisit.StoreAsync(System, _patient, "Tarkastus", "Muistiinpano", cancel).ConfigureAwait(false);
        var encounter = visit.Resources.Single(r => r.Type == "Encounter").Id;
        var observation = visit.Resources.Single(r => r.Type == "Observation").Id;
        var reply = Expect.Status(await System.ReadAsync("Observation", observation, cancel).ConfigureAwait(false), "reading an Observation of the transaction", 200);
        var reference = reply.Json.GetProperty("encounter").GetProperty("reference").GetString();
        Expect.That(reference == $"Encounter/{encounter}", "its reference resolved to the stored Encounter", "another");
    }

    private async Task ForeignWriteAsync(CancellationToken cancel)
    {
        var created = Expect.Status(await System.CreateAsync("Observation", Some.Bytes(Some.Observation($"Patient/{_patient}")), cancel: cancel).ConfigureAwait(false), "create", 201);
        var id = created.Stored!.Value.Id;
        using var other = ClinicClient.Open(_folder, _other, _target);
        var body = Some.Observation($"Patient/{_patient}");
        body["id"] = id;
        Expect.Refusal(await other.System.UpdateAsync("Observation", id, Some.Bytes(body), created.ETag, cancel).ConfigureAwait(false), "another clinic's update of a hidden entry", [405]);
        var hidden = await other.System.DeleteAsync("Observation", id, cancel).ConfigureAwait(false);
        var never = Guid.NewGuid().ToString("D");
        var absent = await other.System.DeleteAsync("Observation", never, cancel).ConfigureAwait(false);
        var difference = Appearance.Difference(Appearance.Of(hidden, id), Appearance.Of(absent, never));
        Expect.That(difference is null, "deleting a hidden entry to look like deleting an absent one", difference ?? "");
        Expect.Status(await System.ReadAsync("Observation", id, cancel).ConfigureAwait(false), "the entry after all that", 200);
    }

    private async Task DirectoryAsync(CancellationToken cancel)
    {
        var body = Some.Bytes(new JsonObject
        {
            ["resourceType"] = "Organization",
            ["identifier"] = new JsonArray(new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = $"urn:oid:{_clinic.Client.OrganisationOid}" }),
            ["name"] = "Tarkastusasema",
        });
        var created = Expect.Status(await System.CreateAsync("Organization", body, cancel: cancel).ConfigureAwait(false), "an Organization", 201);
        var id = created.Stored!.Value.Id;
        using var other = ClinicClient.Open(_folder, _other, _target);
        Expect.Status(await other.System.ReadAsync("Organization", id, cancel).ConfigureAwait(false), "another clinic's read of a directory entry", 200);
        var update = await other.System.UpdateAsync("Organization", id, Some.Bytes(With(body, id)), created.ETag, cancel).ConfigureAwait(false);
        Expect.Refusal(update, "another clinic's update of a directory entry", [403]);
        var found = Expect.Status(await other.System.SearchAsync("Organization", $"_id={id}", cancel).ConfigureAwait(false), "a search of the directory", 200);
        Expect.That(Appearance.Ids(found).SequenceEqual([id]), "the entry found", $"{Appearance.Ids(found).Count} entries");

        static JsonObject With(byte[] body, string id)
        {
            var node = JsonNode.Parse(body)!.AsObject();
            node["id"] = id;
            return node;
        }
    }

    private static void Unidentified(FhirReply reply, string what)
    {
        Expect.Refusal(reply, what, [401]);
        Expect.That(reply.Headers.GetValueOrDefault("WWW-Authenticate", "").StartsWith("Bearer", StringComparison.OrdinalIgnoreCase), "WWW-Authenticate: Bearer", reply.Headers.GetValueOrDefault("WWW-Authenticate", "none"));
    }

    private static async Task NoTokenAsync(Func<Task<IssuedToken>> ask, string what)
    {
        try
        {
            await ask().ConfigureAwait(false);
        }
        catch (TokenRefusedException e) when (e.Status is 400 or 401)
        {
            return;
        }
        throw new ExpectationException($"the token endpoint to refuse {what}", "a token");
    }

    private static string Encoded(string parameters) =>
        string.Join('&', parameters.Split('&').Select(p => p.Split('=', 2)).Select(p => $"{p[0]}={(p[1].Contains('%', StringComparison.Ordinal) ? p[1] : Uri.EscapeDataString(p[1]))}"));

    private static string Names(string parameters) => string.Join(" and ", parameters.Split('&').Select(p => p.Split('=')[0]));
}
