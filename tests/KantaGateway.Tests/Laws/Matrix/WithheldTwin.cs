using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;
using KantaGateway.Tests.Repository;

namespace KantaGateway.Tests.Laws.Matrix;

/// <summary>
/// A person's record in a repository, with or without the part that is withheld, and a reader of it under a scope. Answers are told with labels for ids, so
/// that two records can be compared byte by byte.
/// </summary>
sealed partial class WithheldTwin
{
    private readonly Dictionary<string, string> _ids = new(StringComparer.Ordinal), _labels = new(StringComparer.Ordinal);
    private readonly RepositoryWorld _world;
    private Caller _reader;

    private WithheldTwin(RepositoryWorld world, Caller reader)
    {
        (_world, _reader) = (world, reader);
        Name("patient", reader.PatientId);
    }

    /// <param name="withHidden">Whether what is withheld is written; else it never was.</param>
    public static async Task<WithheldTwin> WriteAsync(RepositoryWorld world, RecordPlan plan, Withholding withholding, bool withHidden)
    {
        var person = await world.NewPersonAsync();
        var reader = world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed).With(withholding.Scope);
        var twin = new WithheldTwin(world, reader);
        Caller aurora = world.As(person, RepositoryWorld.Aurora, Breadth.Disclosed), revontuli = world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed);
        await aurora.StoreAsync(Some.Patient());
        await revontuli.StoreAsync(Some.Patient());
        List<PlannedResource> all = [.. plan.Resources.Where(r => !withholding.Leaves(r))];
        HashSet<string> hidden = [.. plan.Resources.Where(withholding.Hides).Select(r => r.Label)];
        foreach (var resource in plan.Resources)
            if (withholding.Leaves(resource) || (!withHidden && withholding.Hides(resource)))
                twin.Name(resource.Label, world.Identifiers.ResourceId(person, 1_000_000 + twin._ids.Count));
        foreach (var resource in all)
        {
            if (twin._ids.ContainsKey(resource.Label))
                continue;
            List<PlannedResource> group = resource.With is null ? [resource] : [.. all.Where(r => r.With == resource.With)];
            var isAllItself = group.All(IsHiddenItself);
            var writer = resource.ByReader ? revontuli : aurora.With(s => s with { Register = withholding.RegisterOf(resource, isAllItself) });
            var bundle = Some.Transaction([.. group.Select(r => ("POST", r.Type, (JsonObject?)twin.BodyOf(r, group, withholding, IsHiddenItself(r)), (string?)UrnOf(group, r)))]);
            var reply = (await writer.TransactAsync(bundle)).Is(HttpStatusCode.OK);
            foreach (var (member, entry) in group.Zip(reply.Json["entry"]!.AsArray()))
                twin.Name(member.Label, ((string)entry!["response"]!["location"]!).Split('/')[^3]);
        }
        foreach (var resource in all.Where(r => IsHiddenItself(r) && withHidden))
            if (withholding.Besides(resource, twin._ids[resource.Label]) is { } besides)
                await aurora.StoreAsync(besides);
        foreach (var resource in all.Where(r => withHidden || !withholding.Hides(r)))
        {
            var target = $"{resource.Type}/{twin._ids[resource.Label]}";
            var writer = resource.ByReader ? revontuli : aurora.With(s => s with { Register = withholding.RegisterOf(resource, IsHiddenItself(resource)) });
            if (resource.IsUpdated)
            {
                var stored = (await writer.GetAsync(target)).Is(HttpStatusCode.OK);
                var body = stored.Json;
                body["status"] = "amended";
                (await writer.UpdateAsync(body, stored.ETag)).Is(HttpStatusCode.OK);
            }
            if (resource.IsDeleted)
                (await writer.DeleteAsync(target)).Is(HttpStatusCode.NoContent);
        }
        twin._reader = reader.With(s => withholding.Named(s, label => twin._ids[label]));
        return twin;

        // By itself, and not by what it refers to.
        bool IsHiddenItself(PlannedResource r) => hidden.Contains(r.Label) && !hidden.Any(h => r.Body.ToJsonString().Contains($"{{{h}}}", StringComparison.Ordinal));
    }

    /// <summary>A person under a non-disclosure, and people around them.</summary>
    public static async Task<WithheldTwin> WritePeopleAsync(RepositoryWorld world, bool withContacts)
    {
        var person = await world.NewPersonAsync();
        var twin = new WithheldTwin(world, world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed).With(s => s with { HidesContacts = true }));
        var aurora = world.As(person, RepositoryWorld.Aurora);
        await aurora.StoreAsync(Withholding.Person(Some.Patient(), withContacts));
        foreach (var other in Withholding.People(aurora.PatientId, withContacts))
            twin.Name("r" + (twin._ids.Count - 1), await aurora.StoreAsync(other));
        return twin;
    }

    /// <summary>What the reader is answered: everything of every page that could tell two records apart.</summary>
    public async Task<(string Appearance, bool HasContent)> AnswerAsync(Road road)
    {
        var text = new StringBuilder();
        var reply = await SendAsync(road.Method.Method, WithIds(road.Target), road.Body is null ? null : WithIds(road.Body), road.ContentType, [.. road.Headers.Select(h => (h.Name, WithIds(h.Value)))]);
        Describe(reply, text);
        var hasContent = (int)reply.Status is >= 200 and < 300 && reply.Body.Length > 0 && !reply.Text.Contains("\"total\":0", StringComparison.Ordinal);
        for (var pages = 0; road.FollowsPages && NextOf(reply) is { } next; pages++)
        {
            Assert.True(pages < 300, "The pages do not end: " + road);
            reply = await SendAsync("GET", next, null, "");
            Describe(reply, text);
        }
        return (text.ToString(), hasContent);
    }

    private Task<Reply> SendAsync(string method, string target, string? body, string contentType, params (string, string)[] headers) =>
        _world.SendAsync(_reader.Grant, _world.DirectoryGrant(RepositoryWorld.Revontuli), method, target.Length == 0 ? "/fhir" : "/fhir/" + target, body, contentType, headers);

    private JsonObject BodyOf(PlannedResource resource, List<PlannedResource> group, Withholding withholding, bool itself)
    {
        var text = resource.Body.ToJsonString();
        foreach (var other in group)
            text = text.Replace($"{other.Type}/{{{other.Label}}}", UrnOf(group, other), StringComparison.Ordinal);
        var body = JsonNode.Parse(WithIds(text))!.AsObject();
        withholding.Marks(resource, body, itself);
        return body;
    }

    private static string UrnOf(List<PlannedResource> group, PlannedResource resource) => $"urn:uuid:00000000-0000-4000-8000-{group.IndexOf(resource):000000000000}";

    private void Name(string label, string id)
    {
        _ids[label] = id;
        _labels[id] = label;
    }

    private string WithIds(string text) => Placeholder().Replace(text, m => _ids.TryGetValue(m.Groups[1].Value, out var id) ? id : m.Value);

    private void Describe(Reply reply, StringBuilder text)
    {
        var unnamed = new Dictionary<string, string>(StringComparer.Ordinal);
        text.Append("== ").Append((int)reply.Status).Append('\n');
        foreach (var (name, value) in reply.Headers.Where(h => h.Key is not ("Date" or "Content-Length")).OrderBy(h => h.Key, StringComparer.OrdinalIgnoreCase))
            text.Append(name).Append(": ").Append(name.Equals(InternalHeaders.Manifest, StringComparison.OrdinalIgnoreCase)
                ? string.Join(' ', reply.Manifest!.Items.Select(i => $"{i.Type}/{Plain(i.Id)}/{i.Controller}/{i.Register}/{i.Written}"))
                : name == "Last-Modified" ? "T" : Plain(value)).Append('\n');
        if (reply.Manifest is { } manifest)
            text.Append(manifest.Digest.AsSpan().SequenceEqual(System.Security.Cryptography.SHA256.HashData(reply.Body)) || reply.Body.Length == 0 ? "digest\n" : "another digest\n");
        text.Append(Plain(reply.Text)).Append('\n');

        string Plain(string said)
        {
            said = PageLink().Replace(said, m => $"_page={m.Groups[1].Length}");
            said = Now().Replace(said, "T");
            said = NumberedUuid().Replace(said, "2.25.N");
            return Uuid().Replace(said, m => _labels.TryGetValue(m.Value, out var label) ? $"<{label}>"
                : unnamed.TryGetValue(m.Value, out var known) ? known : unnamed[m.Value] = $"<#{unnamed.Count}>");
        }
    }

    private static string? NextOf(Reply reply)
    {
        var found = reply.Status == HttpStatusCode.OK ? NextLink().Match(reply.Text) : Match.Empty;
        return found.Success ? found.Groups[1].Value[(RepositoryWorld.Base.Length + 1)..] : null;
    }

    [GeneratedRegex(@"\{([a-z0-9]+)\}")]
    private static partial Regex Placeholder();

    [GeneratedRegex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")]
    private static partial Regex Uuid();

    /// <summary>A UUID as an OID (ITU-T X.667).</summary>
    [GeneratedRegex(@"2\.25\.\d+")]
    private static partial Regex NumberedUuid();

    [GeneratedRegex("_page=([A-Za-z0-9_-]+)")]
    private static partial Regex PageLink();

    [GeneratedRegex(@"20(2[6-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")]
    private static partial Regex Now();

    [GeneratedRegex("""\{"relation":"next","url":"([^"]+)"\}""")]
    private static partial Regex NextLink();
}
