using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Search;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Fhir;
using KantaGateway.Tests.Laws;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Forwarding;

/// <summary>What the CapabilityStatement says can be included comes along, from the one side and from the other.</summary>
/// <remarks>
/// Every parameter with every type that it may refer to are some 2,700. A test run proves the first of every type and of every target, and
/// every twentieth and every canonical reference besides, always the same; <c>infra/includes.sh</c> (<c>KANTA_INCLUDES=all</c>) proves all.
/// </remarks>
public sealed partial class IncludeProofTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const int Share = 20;

    private const string Version = "2.1";

    private readonly Dictionary<string, string> _ids = new(StringComparer.Ordinal);
    private HouseInMemory _house = null!;

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    [Fact]
    public async Task What_is_claimed_to_be_included_comes_along()
    {
        var claims = (await _house.Aurora.System.SendAsync(HttpMethod.Get, "metadata")).Json.GetProperty("rest")[0].GetProperty("resource").EnumerateArray().ToDictionary(r => r.GetProperty("type").GetString()!);
        foreach (var type in claims.Keys)
            _ids[type] = type switch
            {
                "Patient" => _house.PatientId,
                "Consent" => await _house.DeclareAsync(KantaGateway.Gateway.Consent.Declarations.Informing(_house.PatientId, DateTimeOffset.UtcNow)),
                _ => await StoreAsync(type, Defined(type, MinimalResources.Of(type, _house.PatientId))) ?? throw new InvalidOperationException(type),
            };
        foreach (var (source, claim) in claims)
            foreach (var include in Members(claim, "searchInclude").Where(i => SearchParameters.Find(source, i.Split(':')[1])!.Targets.Count == 0))
                Assert.Fail($"{include} is claimed and leads to nothing that is kept.");
        // A declaration of will is its person's: nobody else makes one, or is shown one.
        var all = (from source in claims.Keys
                   where source != "Consent"
                   from include in Members(claims[source], "searchInclude")
                   let parameter = SearchParameters.Find(source, include.Split(':')[1])!
                   from target in parameter.Targets
                   where target != "Consent"
                   select (Source: source, Parameter: parameter, Target: target)).ToList();
        var chosen = Environment.GetEnvironmentVariable("KANTA_INCLUDES") == "all" ? all
            : [.. all.Where((p, i) => i % Share == 0 || p.Parameter.IsCanonical).Concat(all.DistinctBy(p => p.Source)).Concat(all.DistinctBy(p => p.Target)).Distinct()];
        var wrong = new List<string>();
        var refused = new List<string>();
        foreach (var (source, parameter, target) in chosen)
        {
            var claim = $"{source}:{parameter.Name}";
            var (id, why) = await StoreReferringAsync(source, parameter, target);
            if (id is null)
            {
                refused.Add($"{claim} of {target}: {why}");
                wrong.Add($"{claim} of {target} cannot be stored: {why}");
                continue;
            }
            if (!await BringsAsync(source, $"_id={id}&_include={claim}", target, _ids[target]))
                wrong.Add($"_include={claim} does not bring the {target}");
            if (Members(claims[target], "searchRevInclude").Contains(claim) && !await BringsAsync(target, $"_id={_ids[target]}&_revinclude={claim}", source, id))
                wrong.Add($"_revinclude={claim} of {target} does not bring the {source}");
        }
        var said = string.Create(CultureInfo.InvariantCulture, $"{chosen.Count - refused.Count} of {all.Count} pairs of include and type asked from both sides; {wrong.Count} wrong; {refused.Count} that cannot be stored so:\n{string.Join('\n', refused)}");
        output.WriteLine(said);
        if (Environment.GetEnvironmentVariable("KANTA_INCLUDES_REPORT") is { Length: > 0 } report)
            await File.AppendAllTextAsync(report, said + "\n");
        Assert.True(wrong.Count == 0, $"{wrong.Count}:\n{string.Join('\n', wrong.Take(100))}");
    }

    /// <summary>What has a canonical URL is referred to by it, and the version.</summary>
    private static JsonObject Defined(string type, JsonObject body)
    {
        if (SearchParameters.Find(type, "url") is not null && SearchParameters.Find(type, "version") is not null)
            (body["url"], body["version"]) = (UrlOf(type), Version);
        return body;
    }

    private static string UrlOf(string type) => "https://example.org/fhir/" + type;

    private static IEnumerable<string> Members(JsonElement claims, string name) =>
        claims.TryGetProperty(name, out var members) ? members.EnumerateArray().Select(m => m.GetString()!) : [];

    private async Task<bool> BringsAsync(string type, string form, string included, string id)
    {
        var reply = await _house.Aurora.System.SearchAsync(type, form);
        return reply.Status == 200 && reply.Json.TryGetProperty("entry", out var entries) && entries.EnumerateArray().Any(e =>
            e.GetProperty("search").GetProperty("mode").GetString() == (included == type && form.StartsWith($"_id={id}&", StringComparison.Ordinal) ? "match" : "include")
            && e.GetProperty("resource").GetProperty("resourceType").GetString() == included && e.GetProperty("resource").GetProperty("id").GetString() == id);
    }

    /// <summary>Id of a resource in which the parameter finds the target; without one, why there can be none.</summary>
    private async Task<(string? Id, string Why)> StoreReferringAsync(string source, KantaGateway.Fhir.Search.SearchParameter parameter, string target)
    {
        var why = "";
        foreach (var element in parameter.Sources)
        {
            var path = Conditions().Replace(element.Expression, "").Trim('(', ')');
            var cast = Cast().Match(element.Expression) is { Success: true } named ? named.Groups[1].Value : null;
            var literal = parameter.IsCanonical ? $"{UrlOf(target)}|{Version}" : $"{target}/{_ids[target]}";
            JsonObject body;
            try
            {
                body = MinimalResources.Referring(source, _house.PatientId, path, literal, _house.Folder.Citizens[0].IdentityCode, cast);
            }
            catch (Exception e) when (e is ArgumentException or InvalidCastException)
            {
                why = $"{path} takes no reference";
                continue;
            }
            var patient = "Patient/" + _house.PatientId;
            // Where the target stands in the place of the patient, something else must say whose record it is.
            if (ResourceTypes.PlaceOf(source) == ResourcePlace.Patient && source != "Patient" && !body.ToJsonString().Contains(patient, StringComparison.Ordinal))
                body["extension"] = new JsonArray(new JsonObject { ["url"] = "https://example.org/record-of", ["valueReference"] = new JsonObject { ["reference"] = patient } });
            var reply = await SendAsync(source, body);
            if (IdIn(source, reply) is { } id)
                return (id, "");
            why = reply.ToString();
        }
        return (null, why);
    }

    private async Task<string?> StoreAsync(string type, JsonObject body) => IdIn(type, await SendAsync(type, body));

    private static bool GoesWithAnother(string type) => ResourceTypes.PlaceOf(type) == ResourcePlace.Companion && type != "Binary";

    private static string? IdIn(string type, FhirReply reply) => !GoesWithAnother(type) ? reply.Stored?.Id
        : reply.Status != 200 ? null : FhirReply.ParseLocation(reply.Json.GetProperty("entry")[1].GetProperty("response").GetProperty("location").GetString()!)!.Value.Id;

    private async Task<FhirReply> SendAsync(string type, JsonObject body)
    {
        var aurora = _house.Aurora.System;
        if (!GoesWithAnother(type))
            return await aurora.CreateAsync(type, HouseInMemory.Json(body));
        const string Link = "urn:uuid:6f0b6c1e-0d52-4d7a-8f3e-0a4b1c2d3e4f";
        var list = MinimalResources.Of("List", _house.PatientId);
        list["entry"] = new JsonArray(new JsonObject { ["item"] = new JsonObject { ["reference"] = Link } });
        return await aurora.BundleAsync(HouseInMemory.Json(new JsonObject
        {
            ["resourceType"] = "Bundle",
            ["type"] = "transaction",
            ["entry"] = new JsonArray(
                new JsonObject { ["resource"] = list, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "List" } },
                new JsonObject { ["fullUrl"] = Link, ["resource"] = body, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = type } }),
        }));
    }

    [GeneratedRegex(@" as ([A-Za-z]+)\)")]
    private static partial Regex Cast();

    [GeneratedRegex(@"\.where\([^()]*(\(\)[^()]*)?\)|\.as\([A-Za-z]+\)| as [A-Za-z]+")]
    private static partial Regex Conditions();
}
