using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Cda;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Fhir.Search;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Fhir;
using KantaGateway.Tests.Fhir.Hl7v2;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Forwarding;

/// <summary>What the CapabilityStatement claims is proven by doing it, for every type; what it does not claim is refused.</summary>
public sealed class CapabilityProofTests
{
    [Fact]
    public async Task Every_claim_is_kept_and_nothing_else_is_done()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var aurora = house.Aurora.System;
        var statement = (await aurora.SendAsync(HttpMethod.Get, "metadata")).Json;
        var wrong = new ConcurrentBag<string>();
        await Parallel.ForEachAsync(statement.GetProperty("rest")[0].GetProperty("resource").EnumerateArray(), new ParallelOptions { MaxDegreeOfParallelism = 4 },
            async (resource, _) => await new Walk(house, aurora, resource, wrong).RunAsync());
        Assert.True(wrong.IsEmpty, $"{wrong.Count} claims:\n{string.Join('\n', wrong.Order(StringComparer.Ordinal).Take(60))}");
    }

    [Fact]
    public async Task Every_format_is_taken_and_given()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var aurora = house.Aurora.System;
        var statement = (await aurora.SendAsync(HttpMethod.Get, "metadata")).Json;
        foreach (var format in statement.GetProperty("format").EnumerateArray().Select(f => f.GetString()!))
        {
            var media = format.Contains("xml", StringComparison.Ordinal) ? MediaTypes.Xml : MediaTypes.Json;
            var given = await aurora.SendAsync(HttpMethod.Get, $"Patient/{house.PatientId}?_format={Uri.EscapeDataString(format)}");
            Assert.Equal((format, 200, media), (format, given.Status, given.Headers["Content-Type"].Split(';')[0]));
            // A short name is one for _format alone.
            if (format == media)
                Assert.Equal(200, (await aurora.SendAsync(HttpMethod.Put, "Patient/" + house.PatientId, given.Body, [("If-Match", given.ETag!)], media)).Status);
        }

        var note = (await aurora.CreateAsync("Observation", HouseInMemory.Json(house.Observation("x")))).Stored!.Value.Id;
        foreach (var format in statement.GetProperty("patchFormat").EnumerateArray().Select(f => f.GetString()!))
        {
            var patch = format switch
            {
                MediaTypes.Json => """{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}]}]}""",
                MediaTypes.Xml => """<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/><part><name value="type"/><valueCode value="replace"/></part><part><name value="path"/><valueString value="Observation.status"/></part><part><name value="value"/><valueCode value="final"/></part></parameter></Parameters>""",
                _ => """[{"op":"replace","path":"/status","value":"corrected"}]""",
            };
            var patched = await aurora.SendAsync(HttpMethod.Patch, "Observation/" + note, Encoding.UTF8.GetBytes(patch), [("Accept", MediaTypes.Json)], format);
            Assert.True(patched.Status == 200, $"{format}: {patched}");
            Assert.Equal(format switch { MediaTypes.Json => "amended", MediaTypes.Xml => "final", _ => "corrected" }, patched.Json.GetProperty("status").GetString());
        }
    }

    [Fact]
    public async Task Every_interaction_of_the_whole_system_is_there_and_no_other()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var aurora = house.Aurora.System;
        var statement = (await aurora.SendAsync(HttpMethod.Get, "metadata")).Json.GetProperty("rest")[0];
        var claimed = statement.GetProperty("interaction").EnumerateArray().Select(i => i.GetProperty("code").GetString()!).ToHashSet();
        var proofs = new Dictionary<string, Func<Task<FhirReply>>>
        {
            ["transaction"] = () => BundleAsync("transaction"),
            ["batch"] = () => BundleAsync("batch"),
            ["history-system"] = () => aurora.SendAsync(HttpMethod.Get, $"_history?patient={house.PatientId}"),
            ["search-system"] = () => aurora.SendAsync(HttpMethod.Post, "_search", "_id=x"u8.ToArray(), contentType: "application/x-www-form-urlencoded"),
        };
        Assert.Empty(claimed.Except(proofs.Keys));
        foreach (var (interaction, prove) in proofs)
        {
            var reply = await prove();
            Assert.True(claimed.Contains(interaction) ? reply.Status == 200 && reply.Json.GetProperty("entry").GetArrayLength() > 0 : reply.Status is >= 400 and < 500, $"{interaction}: {reply}");
        }

        // The adapters' operations: each is claimed and takes what it is there for, alone and in no batch.
        var operations = new Dictionary<string, (byte[] Body, string Type)>
        {
            ["hl7v2"] = (Sent.Arrival(), MessageAdapter.ContentType),
            ["cda"] = (await File.ReadAllBytesAsync(Path.Combine(AppContext.BaseDirectory, "Vectors", "cda", "hoitojakso.xml")), CdaAdapter.ContentType),
            ["table"] = AdapterRoadsTests.Form(AdapterRoadsTests.Titles),
        };
        Assert.Equal(operations.Keys.Order(), statement.GetProperty("operation").EnumerateArray().Select(o => o.GetProperty("name").GetString()!).Order());
        foreach (var (operation, (body, type)) in operations)
        {
            var taken = await aurora.SendAsync(HttpMethod.Post, "$" + operation, body, contentType: type);
            Assert.True(taken.Status == 200, $"{operation}: {taken}");
            var other = await aurora.SendAsync(HttpMethod.Get, "$" + operation);
            Assert.Equal((405, "POST"), (other.Status, other.Headers["Allow"]));
            var batch = await aurora.BundleAsync(HouseInMemory.Json(new JsonObject
            {
                ["resourceType"] = "Bundle", ["type"] = "batch",
                ["entry"] = new JsonArray(new JsonObject { ["resource"] = house.Observation("x"), ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "$" + operation } }),
            }));
            Assert.StartsWith("4", batch.Json.GetProperty("entry")[0].GetProperty("response").GetProperty("status").GetString());
        }
        Assert.Equal(404, (await aurora.SendAsync(HttpMethod.Post, "$nonsense", "{}"u8.ToArray())).Status);
        Assert.Equal("DELETE, GET, HEAD, PATCH, PUT", (await aurora.SendAsync(HttpMethod.Post, "Observation/x", "{}"u8.ToArray())).Headers["Allow"]);

        Task<FhirReply> BundleAsync(string type) => aurora.BundleAsync(HouseInMemory.Json(new JsonObject
        {
            ["resourceType"] = "Bundle",
            ["type"] = type,
            ["entry"] = new JsonArray(new JsonObject { ["resource"] = house.Observation("x"), ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "Observation" } }),
        }));
    }

    [Fact]
    public async Task The_statement_is_a_valid_resource_kept_by_its_tag_and_given_whole()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var given = await house.Aurora.System.SendAsync(HttpMethod.Get, "metadata");
        var (resource, fault) = KantaGateway.Fhir.Profiles.ResourceParser.Parse(given.Body);
        Assert.True(fault is null, fault is null ? "" : string.Join("; ", fault.Issues));
        Assert.Equal("CapabilityStatement", resource!.TypeName);
        Assert.Equal(304, (await house.Aurora.System.SendAsync(HttpMethod.Get, "metadata", headers: [("If-None-Match", given.ETag!)])).Status);
        Assert.Equal(200, (await house.Aurora.System.SendAsync(HttpMethod.Get, "metadata?mode=full")).Status);
        Assert.Equal(400, (await house.Aurora.System.SendAsync(HttpMethod.Get, "metadata?mode=terminology")).Status);
    }

    /// <summary>One type of the statement.</summary>
    private sealed class Walk(HouseInMemory house, FhirSession aurora, JsonElement claims, ConcurrentBag<string> wrong)
    {
        private readonly string _type = claims.GetProperty("type").GetString()!;
        private readonly HashSet<string> _interactions = [.. claims.GetProperty("interaction").EnumerateArray().Select(i => i.GetProperty("code").GetString()!)];
        private string _id = "";

        public async Task RunAsync()
        {
            if (_type == "Consent")
                _id = await house.DeclareAsync(KantaGateway.Gateway.Consent.Declarations.Informing(house.PatientId, DateTimeOffset.UtcNow));
            else if (_type == "Patient")
                _id = house.PatientId;
            else if (!await CreateAsync())
                return;
            // The person declares and reads their will; others find it absent.
            var isHidden = _type == "Consent";
            var read = await DoAsync("read", HttpMethod.Get, $"{_type}/{_id}", isHidden ? 404 : 200);
            if (!isHidden)
            {
                await DoAsync("vread", HttpMethod.Get, $"{_type}/{_id}/_history/{read.VersionId}", 200);
                await DoAsync("history-instance", HttpMethod.Get, $"{_type}/{_id}/_history", 200);
                Expect("conditionalRead", await aurora.SendAsync(HttpMethod.Get, $"{_type}/{_id}", headers: [("If-None-Match", read.ETag!)]), 304);
            }
            await SearchAsync();
            await OperateAsync(isHidden ? MinimalResources.Of(_type, house.PatientId) : JsonNode.Parse(read.Body)!.AsObject());
            await ChangeAsync(isHidden ? null : read);
            await ChangeByConditionAsync();
        }

        /// <summary>The changes that criteria choose; claimed ones are done, others refused.</summary>
        private async Task ChangeByConditionAsync()
        {
            var body = MinimalResources.Of(_type, house.PatientId, house.Folder.Citizens[0].IdentityCode);
            var isMadeAlone = _type is not ("Patient" or "Consent") && (_type == "Binary" || ResourceTypes.PlaceOf(_type) != ResourcePlace.Companion);
            var id = isMadeAlone ? (await aurora.CreateAsync(_type, HouseInMemory.Json(body))).Stored?.Id ?? "" : _id;
            var criteria = "_id=" + id;
            if (isMadeAlone)
                ExpectClaim("conditionalCreate", Claims("conditionalCreate"), await aurora.CreateAsync(_type, HouseInMemory.Json(body), ifNoneExist: criteria + "&_lastUpdated=lt2000-01-01"), 201);
            // A companion of nothing is refused, and what has been deleted is not found; the rest of theirs is in CompanionChangeTests.
            if (isMadeAlone || _type is "Patient" or "Consent")
            {
                var found = await aurora.CreateAsync(_type, HouseInMemory.Json(body), ifNoneExist: criteria);
                ExpectClaim("conditionalCreate", Claims("conditionalCreate"), found, 200);
                if (found.Status == 200 && found.Json.GetProperty("id").GetString() != id)
                    wrong.Add($"{_type}: conditionalCreate gave another: {found}");
                ExpectClaim("conditionalUpdate", Claims("conditionalUpdate"), await aurora.SendAsync(HttpMethod.Put, $"{_type}?{criteria}", HouseInMemory.Json(body)), 200);
            }
            if (_type == "Patient")
                return;
            var isDeletable = claims.GetProperty("conditionalDelete").GetString() == "single";
            ExpectClaim("conditionalDelete", isDeletable, await aurora.SendAsync(HttpMethod.Delete, $"{_type}?{criteria}"), 204);
            if (isDeletable)
                await DoAsync("conditionalDelete and then read", HttpMethod.Get, $"{_type}/{id}", 410);
        }

        private bool Claims(string member) => claims.GetProperty(member).GetBoolean();

        private void ExpectClaim(string claim, bool isClaimed, FhirReply reply, int status)
        {
            if (isClaimed ? reply.Status != status : reply.Status is not (403 or 404 or 405))
                wrong.Add($"{_type}: {(isClaimed ? "" : "unclaimed ")}{claim}: {reply}");
        }

        private async Task<bool> CreateAsync()
        {
            var body = MinimalResources.Of(_type, house.PatientId);
            // A CDA document is about one person.
            if (_type == "Composition")
                body["subject"] = new JsonObject { ["reference"] = "Patient/" + house.PatientId };
            FhirReply reply;
            if (ResourceTypes.PlaceOf(_type) == ResourcePlace.Companion && _type != "Binary")
            {
                // It goes with what refers to it.
                var list = MinimalResources.Of("List", house.PatientId);
                list["entry"] = new JsonArray(new JsonObject { ["item"] = new JsonObject { ["reference"] = "urn:uuid:6f0b6c1e-0d52-4d7a-8f3e-0a4b1c2d3e4f" } });
                reply = await aurora.BundleAsync(HouseInMemory.Json(new JsonObject
                {
                    ["resourceType"] = "Bundle",
                    ["type"] = "transaction",
                    ["entry"] = new JsonArray(
                        new JsonObject { ["resource"] = list, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "List" } },
                        new JsonObject { ["fullUrl"] = "urn:uuid:6f0b6c1e-0d52-4d7a-8f3e-0a4b1c2d3e4f", ["resource"] = body, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = _type } }),
                }));
                if (reply.Status == 200)
                    _id = FhirReply.ParseLocation(reply.Json.GetProperty("entry")[1].GetProperty("response").GetProperty("location").GetString()!)!.Value.Id;
                Expect("create", reply, 200);
                return reply.Status == 200;
            }
            if (_type == "Binary")
                body["securityContext"] = new JsonObject { ["reference"] = "Patient/" + house.PatientId };
            reply = await aurora.CreateAsync(_type, HouseInMemory.Json(body));
            Expect("create", reply, 201);
            _id = reply.Stored?.Id ?? "";
            return reply.Status == 201;
        }

        private async Task SearchAsync()
        {
            foreach (var claim in claims.GetProperty("searchParam").EnumerateArray())
            {
                var name = claim.GetProperty("name").GetString()!;
                if (name is "_id" or "_lastUpdated")
                    continue;
                var parameter = SearchParameters.Find(_type, name)!;
                Expect($"search by {name}", await aurora.SearchAsync(_type, $"_id={_id}&{name}={Uri.EscapeDataString(ValueOf(parameter))}"), 200);
            }
            // Of each kind, the modifiers of one parameter.
            foreach (var claim in claims.GetProperty("searchParam").EnumerateArray()
                .Where(c => c.GetProperty("name").GetString() is not ("_id" or "_lastUpdated")).DistinctBy(c => c.GetProperty("type").GetString()))
            {
                var name = claim.GetProperty("name").GetString()!;
                var parameter = SearchParameters.Find(_type, name)!;
                foreach (var modifier in claim.GetProperty("documentation").GetString()!["Modifiers: ".Length..].TrimEnd('.').Split(", ").Where(m => m != ":[type]"))
                    Expect($"search by {name}{modifier}", await aurora.SearchAsync(_type, $"_id={_id}&{name}{modifier}={Uri.EscapeDataString(ValueOf(parameter, modifier))}"), 200);
            }
            Expect("search by _lastUpdated", await aurora.SearchAsync(_type, $"_id={_id}&_lastUpdated=gt2020"), 200);
            foreach (var (parameter, member) in new[] { ("_include", "searchInclude"), ("_revinclude", "searchRevInclude") })
                if (claims.TryGetProperty(member, out var includes))
                    foreach (var include in includes.EnumerateArray())
                        Expect($"{parameter}={include}", await aurora.SearchAsync(_type, $"_id={_id}&{parameter}={include.GetString()}"), 200);
            var unclaimed = SearchParameters.WhyNot("_text") is not null ? "_text" : "nonsense";
            Expect("an unclaimed parameter", await aurora.SearchAsync(_type, $"_id={_id}&{unclaimed}=x"), 400);
        }

        private string ValueOf(SearchParameter parameter, string modifier) => (parameter.Kind, modifier) switch
        {
            (_, ":missing") => "true",
            (_, ":of-type") => "s|c|x",
            (_, ":identifier") => "x",
            (SearchKind.Token, ":in" or ":not-in") => "http://hl7.org/fhir/ValueSet/condition-clinical",
            (SearchKind.Token, ":above" or ":below") => "http://terminology.hl7.org/CodeSystem/condition-clinical|active",
            (SearchKind.Reference, ":above" or ":below") when parameter.IsCanonical => "https://example.org/fhir/x|1",
            (SearchKind.Reference, ":above" or ":below") => $"{parameter.Hierarchies.First()}/{house.PatientId}",
            (SearchKind.Reference, _) => $"{modifier[1..]}/{house.PatientId}",
            _ => ValueOf(parameter),
        };

        private string ValueOf(SearchParameter parameter) => parameter.Kind switch
        {
            SearchKind.Reference when parameter.Name is "patient" or "subject" => "Patient/" + house.PatientId,
            SearchKind.Composite => string.Join('$', parameter.Components.Select(c => Simple(c.Kind))),
            SearchKind.Reference => $"{parameter.Targets.FirstOrDefault(ResourceTypes.IsServed) ?? "Patient"}/{house.PatientId}",
            _ => Simple(parameter.Kind),
        };

        private string Simple(SearchKind kind) => kind switch
        {
            SearchKind.Date => "2026-01-01",
            SearchKind.Number or SearchKind.Quantity => "1",
            SearchKind.Uri => "urn:oid:1.2.3",
            SearchKind.Reference => "Patient/" + house.PatientId,
            SearchKind.Special => "60.17|24.94|5|km",
            _ => "x",
        };

        private async Task OperateAsync(JsonObject body)
        {
            var operations = claims.TryGetProperty("operation", out var claimed) ? claimed.EnumerateArray().Select(o => o.GetProperty("name").GetString()!).ToHashSet() : [];
            var isHidden = _type == "Consent";
            var proofs = new Dictionary<string, Func<Task<FhirReply>>>
            {
                ["everything"] = () => aurora.SendAsync(HttpMethod.Get, $"{_type}/{_id}/$everything"),
                ["meta"] = () => aurora.SendAsync(HttpMethod.Get, $"{_type}/{_id}/$meta"),
                ["docref"] = () => aurora.SendAsync(HttpMethod.Get, $"{_type}/$docref?patient={house.PatientId}"),
                ["validate"] = () => aurora.SendAsync(HttpMethod.Post, $"{_type}/$validate", HouseInMemory.Json(body)),
                ["cda"] = () => aurora.SendAsync(HttpMethod.Get, $"{_type}/{_id}/$cda"),
            };
            foreach (var operation in operations.Except(proofs.Keys))
                wrong.Add($"{_type}: ${operation} is claimed and not proven");
            foreach (var (operation, prove) in proofs)
                if (operations.Contains(operation))
                    ExpectClaim("$" + operation, true, await prove(), isHidden && operation == "meta" ? 404 : 200);
                else
                    ExpectClaim("$" + operation, false, await prove(), 0);
            var refused = await aurora.SendAsync(HttpMethod.Get, $"{_type}/{_id}/$nonsense");
            if (refused.Status is < 400 or >= 500)
                wrong.Add($"{_type}: $nonsense: {refused}");
        }

        private async Task ChangeAsync(FhirReply? read)
        {
            var tag = read?.ETag ?? "W/\"x\"";
            var patch = "[{\"op\":\"add\",\"path\":\"/language\",\"value\":\"sv\"}]"u8.ToArray();
            var patched = await aurora.SendAsync(HttpMethod.Patch, $"{_type}/{_id}", patch, [("If-Match", tag)], "application/json-patch+json");
            Expect("patch", patched, 200);
            tag = patched.ETag ?? tag;
            var body = read is null ? MinimalResources.Of(_type, house.PatientId) : JsonNode.Parse(read.Body)!.AsObject();
            Expect("update", await aurora.UpdateAsync(_type, _id, HouseInMemory.Json(body), tag), 200);
            if (_type != "Patient")
                Expect("delete", await aurora.DeleteAsync(_type, _id), 204);
        }

        private async Task<FhirReply> DoAsync(string claim, HttpMethod method, string target, int status)
        {
            var reply = await aurora.SendAsync(method, target);
            Expect(claim, reply, status);
            return reply;
        }

        /// <summary>A claimed interaction has the status, an unclaimed one is refused; anything that is no interaction has the status.</summary>
        private void Expect(string claim, FhirReply reply, int status)
        {
            var isUnclaimed = claim is "create" or "update" or "patch" or "delete" && !_interactions.Contains(claim);
            if (isUnclaimed ? reply.Status is not (403 or 404 or 405) : reply.Status != status)
                wrong.Add($"{_type}: {(isUnclaimed ? "unclaimed " : "")}{claim}: {reply}");
        }
    }
}
