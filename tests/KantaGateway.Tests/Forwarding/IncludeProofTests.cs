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
/// Every parameter with every type that it may refer to are well over a thousand. A test run proves a share of them, another each day;
/// <c>KANTA_INCLUDES=all</c> proves all.
/// </remarks>
public sealed partial class IncludeProofTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const int Shares = 15;

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
                _ => await StoreAsync(type, MinimalResources.Of(type, _house.PatientId)) ?? throw new InvalidOperationException(type),
            };
        // A declaration of will is its person's: nobody else makes one, or is shown one.
        var all = (from source in claims.Keys
                   where source != "Consent"
                   from include in Members(claims[source], "searchInclude")
                   let parameter = SearchParameters.Find(source, include.Split(':')[1])!
                   from target in parameter.Targets
                   where target != "Consent"
                   select (Source: source, Parameter: parameter, Target: target)).ToList();
        var isAll = Environment.GetEnvironmentVariable("KANTA_INCLUDES") == "all";
        var turn = (int)(DateTime.UtcNow.Ticks / TimeSpan.TicksPerDay % Shares);
        var wrong = new List<string>();
        var (proven, refused) = (new List<string>(), new List<string>());
        foreach (var (source, parameter, target) in all.Where((_, i) => isAll || i % Shares == turn))
        {
            var claim = $"{source}:{parameter.Name}";
            if (await StoreReferringAsync(source, parameter, target) is not { } id)
            {
                // Where it stands in the place of the patient, the resource is nobody's.
                refused.Add(claim);
                continue;
            }
            proven.Add(claim);
            if (!await BringsAsync(source, $"_id={id}&_include={claim}", target, _ids[target]))
                wrong.Add($"_include={claim} does not bring the {target}");
            if (Members(claims[target], "searchRevInclude").Contains(claim) && !await BringsAsync(target, $"_id={_ids[target]}&_revinclude={claim}", source, id))
                wrong.Add($"_revinclude={claim} of {target} does not bring the {source}");
        }
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{proven.Count} of {all.Count} proven; {refused.Count} cannot be stored, of these with no target at all: {string.Join(' ', refused.Except(proven))}"));
        Assert.True(wrong.Count == 0, $"{wrong.Count}:\n{string.Join('\n', wrong.Take(100))}");
        Assert.True(proven.Count > 50 && proven.Count > 4 * refused.Count, $"{proven.Count} proven, {refused.Count} not");
    }

    private static IEnumerable<string> Members(JsonElement claims, string name) =>
        claims.TryGetProperty(name, out var members) ? members.EnumerateArray().Select(m => m.GetString()!) : [];

    private async Task<bool> BringsAsync(string type, string form, string included, string id)
    {
        var reply = await _house.Aurora.System.SearchAsync(type, form);
        return reply.Status == 200 && reply.Json.TryGetProperty("entry", out var entries) && entries.EnumerateArray().Any(e =>
            e.GetProperty("search").GetProperty("mode").GetString() == (included == type && form.StartsWith($"_id={id}&", StringComparison.Ordinal) ? "match" : "include")
            && e.GetProperty("resource").GetProperty("resourceType").GetString() == included && e.GetProperty("resource").GetProperty("id").GetString() == id);
    }

    /// <summary>Id of a resource in which the parameter finds the target; null: there can be none.</summary>
    private async Task<string?> StoreReferringAsync(string source, KantaGateway.Fhir.Search.SearchParameter parameter, string target)
    {
        foreach (var element in parameter.Sources)
        {
            var path = Conditions().Replace(element.Expression, "").Trim('(', ')');
            var body = MinimalResources.Referring(source, _house.PatientId, path, $"{target}/{_ids[target]}", _house.Folder.Citizens[0].IdentityCode);
            if (await StoreAsync(source, body) is { } id)
                return id;
        }
        return null;
    }

    private async Task<string?> StoreAsync(string type, JsonObject body)
    {
        var aurora = _house.Aurora.System;
        if (ResourceTypes.PlaceOf(type) != ResourcePlace.Companion || type == "Binary")
            return (await aurora.CreateAsync(type, HouseInMemory.Json(body))).Stored?.Id;
        // It goes with what refers to it.
        const string Link = "urn:uuid:6f0b6c1e-0d52-4d7a-8f3e-0a4b1c2d3e4f";
        var list = MinimalResources.Of("List", _house.PatientId);
        list["entry"] = new JsonArray(new JsonObject { ["item"] = new JsonObject { ["reference"] = Link } });
        var reply = await aurora.BundleAsync(HouseInMemory.Json(new JsonObject
        {
            ["resourceType"] = "Bundle",
            ["type"] = "transaction",
            ["entry"] = new JsonArray(
                new JsonObject { ["resource"] = list, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "List" } },
                new JsonObject { ["fullUrl"] = Link, ["resource"] = body, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = type } }),
        }));
        return reply.Status != 200 ? null : FhirReply.ParseLocation(reply.Json.GetProperty("entry")[1].GetProperty("response").GetProperty("location").GetString()!)!.Value.Id;
    }

    [GeneratedRegex(@"\.where\([^()]*(\(\)[^()]*)?\)|\.as\([A-Za-z]+\)| as [A-Za-z]+")]
    private static partial Regex Conditions();
}
