using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Harness.Clients;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws.Matrix;

/// <summary>
/// A person's record in one house as a plan has it, with or without its hidden part, and a reader of it. Answers are
/// told with labels for ids, so that two houses can be compared byte by byte.
/// </summary>
sealed partial class Twin
{
    private readonly HouseInMemory _house;
    private readonly Pseudonym _person;
    private readonly Dictionary<string, string> _ids = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _labels = new(StringComparer.Ordinal);

    private Twin(HouseInMemory house, Pseudonym person, string patientId)
    {
        (_house, _person) = (house, person);
        Name("patient", patientId);
    }

    /// <param name="code">The person's identity code; nobody else's in this house.</param>
    /// <param name="withHidden">Whether the hidden part is written, and denied; else it never was.</param>
    public static async Task<Twin> WriteAsync(HouseInMemory house, RecordPlan plan, string code, bool withHidden)
    {
        var id = await StoredAsync(house.Aurora.System, "Patient", HouseInMemory.Patient(code));
        Assert.Equal(id, await StoredAsync(house.Revontuli.System, "Patient", HouseInMemory.Patient(code)));
        house.Gateway.GetRequiredService<IdentifierCipher>().TryReadResourceId(id, out var person, out _);
        var twin = new Twin(house, person, id);
        foreach (var resource in plan.Resources)
            if (withHidden || !resource.IsHidden)
                await twin.WriteAsync(resource, plan);
            else
                twin.Name(resource.Label, twin.NeverWritten());
        foreach (var resource in plan.Resources.Where(r => withHidden || !r.IsHidden))
        {
            var writer = twin.WriterOf(resource);
            var target = $"{resource.Type}/{twin._ids[resource.Label]}";
            if (resource.IsUpdated)
            {
                var stored = await writer.SendAsync(HttpMethod.Get, target);
                var body = JsonNode.Parse(stored.Body)!.AsObject();
                body["status"] = "amended";
                Assert.Equal(200, (await writer.SendAsync(HttpMethod.Put, target, HouseInMemory.Json(body), [("If-Match", stored.ETag!)])).Status);
            }
            if (resource.IsDeleted)
                Assert.Equal(204, (await writer.SendAsync(HttpMethod.Delete, target)).Status);
        }
        var citizen = house.CitizenOf(person);
        await house.DeclareAsync(Declarations.Informing(id, DateTimeOffset.UtcNow), citizen);
        await house.DeclareAsync(Declarations.Permit(id, DateTimeOffset.UtcNow), citizen);
        if (withHidden)
            await house.DeclareAsync(Declarations.Denial(id, new DenialTarget.OfServiceEvent(RecordPlan.DeniedEvent), DateTimeOffset.UtcNow), citizen);
        return twin;
    }

    /// <summary>What the reader is answered: everything of every page that could tell two houses apart.</summary>
    public async Task<(string Appearance, bool HasContent)> AnswerAsync(Road road, CancellationToken cancel = default)
    {
        var text = new StringBuilder();
        var reply = await _house.Reader.SendAsync(road.Method, WithIds(road.Target), road.Body is null ? null : Encoding.UTF8.GetBytes(WithIds(road.Body)),
            [.. road.Headers.Select(h => (h.Name, WithIds(h.Value)))], road.ContentType, cancel);
        Describe(reply, text);
        var hasContent = reply.Status is >= 200 and < 300 && reply.Body.Length > 0 && !reply.Text.Contains("\"total\":0", StringComparison.Ordinal);
        for (var pages = 0; road.FollowsPages && NextOf(reply) is { } next; pages++)
        {
            Assert.True(pages < 300, "The pages do not end: " + road);
            reply = await _house.Reader.SendAsync(HttpMethod.Get, next, cancel: cancel);
            Describe(reply, text);
        }
        return (text.ToString(), hasContent);
    }

    private async Task WriteAsync(PlannedResource resource, RecordPlan plan)
    {
        if (_ids.ContainsKey(resource.Label))
            return;
        var group = resource.With is null ? [resource] : plan.Resources.Where(r => r.With == resource.With).ToList();
        var entries = new JsonArray();
        foreach (var member in group)
        {
            var body = member.Body.ToJsonString();
            foreach (var other in group)
                body = body.Replace($"{other.Type}/{{{other.Label}}}", UrnOf(other), StringComparison.Ordinal);
            entries.Add(new JsonObject
            {
                ["fullUrl"] = UrnOf(member), ["resource"] = JsonNode.Parse(WithIds(body)),
                ["request"] = new JsonObject { ["method"] = "POST", ["url"] = member.Type },
            });
        }
        var reply = await WriterOf(resource).BundleAsync(HouseInMemory.Json(new JsonObject { ["resourceType"] = "Bundle", ["type"] = "transaction", ["entry"] = entries }));
        Assert.True(reply.Status == 200, reply.ToString());
        foreach (var (member, entry) in group.Zip(reply.Json.GetProperty("entry").EnumerateArray()))
            Name(member.Label, FhirReply.ParseLocation(entry.GetProperty("response").GetProperty("location").GetString()!)!.Value.Id);

        string UrnOf(PlannedResource r) => $"urn:uuid:00000000-0000-4000-8000-{group.IndexOf(r):000000000000}";
    }

    private FhirSession WriterOf(PlannedResource resource) => (resource.ByReader ? _house.Revontuli : _house.Aurora).System;

    /// <summary>An id of this compartment that no row has: what a hidden resource's id is where it never was.</summary>
    private string NeverWritten() => _house.Gateway.GetRequiredService<IdentifierCipher>().ResourceId(_person, 1_000_000 + _ids.Count);

    private void Name(string label, string id)
    {
        _ids[label] = id;
        _labels[id] = label;
    }

    private string WithIds(string text) => Placeholder().Replace(text, m => _ids.TryGetValue(m.Groups[1].Value, out var id) ? id : m.Value);

    private void Describe(FhirReply reply, StringBuilder text)
    {
        var unnamed = new Dictionary<string, string>(StringComparer.Ordinal);
        text.Append("== ").Append(reply.Status).Append('\n');
        foreach (var (name, value) in reply.Headers.Where(h => !Fresh.Contains(h.Key)).OrderBy(h => h.Key, StringComparer.OrdinalIgnoreCase))
            text.Append(name).Append(": ").Append(name switch
            {
                "Last-Modified" => "T",
                // A time takes more or fewer digits; the bytes themselves are compared below.
                "Content-Length" => reply.Body.Length == 0 && value != "0" ? "of a body" : value == reply.Body.Length.ToString(System.Globalization.CultureInfo.InvariantCulture) ? "true" : value,
                _ => Plain(value),
            }).Append('\n');
        var body = reply.Text;
        if (reply.Headers.GetValueOrDefault("X-Correlation-Id") is { Length: > 0 } correlation)
            body = body.Replace(correlation, "C", StringComparison.Ordinal);
        text.Append(Plain(body)).Append('\n');

        string Plain(string said)
        {
            said = said.Replace(_house.Target.Authority, "HOUSE", StringComparison.Ordinal);
            said = PageLink().Replace(said, m => $"_page={m.Groups[1].Length}");
            said = Receipt().Replace(said, "RECEIPT");
            said = Now().Replace(said, "T");
            said = NumberedUuid().Replace(said, "2.25.N");
            return Uuid().Replace(said, m => _labels.TryGetValue(m.Value, out var label) ? $"<{label}>"
                : unnamed.TryGetValue(m.Value, out var known) ? known : unnamed[m.Value] = $"<#{unnamed.Count}>");
        }
    }

    private static string? NextOf(FhirReply reply)
    {
        if (reply.Status != 200 || reply.Body.Length == 0)
            return null;
        // JSON or XML, plain or pretty.
        var found = NextLink().Match(reply.Text);
        return found.Success ? WebUtility.HtmlDecode(found.Groups[1].Value + found.Groups[2].Value) : null;
    }

    private static async Task<string> StoredAsync(FhirSession writer, string type, JsonObject body)
    {
        var reply = await writer.CreateAsync(type, HouseInMemory.Json(body));
        Assert.True(reply.Status == 201, reply.ToString());
        return reply.Stored!.Value.Id;
    }

    private static readonly HashSet<string> Fresh = new(StringComparer.OrdinalIgnoreCase) { "Date", "X-Correlation-Id" };

    [GeneratedRegex(@"\{([a-z0-9]+)\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")]
    private static partial Regex Uuid();

    /// <summary>A UUID as an OID (ITU-T X.667).</summary>
    [GeneratedRegex(@"2\.25\.\d+")]
    private static partial Regex NumberedUuid();

    /// <summary>In a header, in JSON, in XML.</summary>
    [GeneratedRegex("""\d+;entry=("|\\u0022|&quot;)[0-9a-f]{32}\1""")]
    private static partial Regex Receipt();

    [GeneratedRegex("_page=([A-Za-z0-9_-]+)")]
    private static partial Regex PageLink();

    // Times of this run; the record's own lie years back.
    [GeneratedRegex(@"20(2[6-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")]
    private static partial Regex Now();

    [GeneratedRegex("""\{\s*"relation"\s*:\s*"next"\s*,\s*"url"\s*:\s*"([^"]+)"|<relation value="next"\s*/>\s*<url value="([^"]+)"\s*/>""")]
    private static partial Regex NextLink();
}
