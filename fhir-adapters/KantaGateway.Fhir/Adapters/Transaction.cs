using System.Security.Cryptography;
using System.Text;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Adapters;

/// <summary>What must be known of a person's record before a transaction is written: the resources of a type with any of some identifiers.</summary>
/// <param name="Type">Resource type.</param>
/// <param name="Tokens">Search tokens, <c>system|value</c>.</param>
public sealed record KnownQuestion(string Type, IReadOnlyList<string> Tokens);

/// <summary>
/// The transaction that an adapter makes: about one person, with what it came from. What it is asked to write it writes once: a resource that is
/// known by its identifier is updated in the version that was seen, and not touched where nothing is new; another is created on condition that
/// nobody has created it meanwhile.
/// </summary>
/// <remarks>Not thread-safe; the same calls give the same Bundle.</remarks>
public sealed class Transaction
{
    private readonly List<(Resource Resource, string Source, Identifier? Key, string Url)> _entries = [];
    private readonly IReadOnlyList<Resource> _known;
    private readonly string _seed;

    /// <param name="seed">Names the source; full URLs follow from it.</param>
    /// <param name="known">What the sender's own register has, as it was asked for by <see cref="Questions"/>.</param>
    public Transaction(string seed, IReadOnlyList<Resource> known) => (_seed, _known) = (seed, known);

    /// <summary>What to look up first. The Patient is asked for by everybody.</summary>
    public IReadOnlyList<KnownQuestion> Questions =>
        [.. _entries.Where(static e => e.Key is not null).GroupBy(static e => e.Resource.TypeName, static e => TokenOf(e.Key!)).Select(static g => new KnownQuestion(g.Key, [.. g.Distinct()]))];

    private string UrlOf(Resource resource, Identifier? key) =>
        key is not null && Known(resource.TypeName, key) is { Id: { } id } ? $"{resource.TypeName}/{id}" : UuidOf(_seed, resource.TypeName, key?.Value ?? _entries.Count.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>Adds what is to be stored.</summary>
    /// <param name="source">Where it stands in the source, for whoever is told what is wrong with it.</param>
    /// <param name="key">By which it is found again, an identifier of its own; null: it is new each time.</param>
    /// <returns>What others refer to it by.</returns>
    public ResourceReference Add(Resource resource, string source, Identifier? key = null)
    {
        var url = UrlOf(resource, key);
        // Said twice it is one; what was said last counts.
        if (key is not null && _entries.FindIndex(e => e.Url == url) is >= 0 and var said)
            _entries[said] = (resource, source, key, url);
        else
            _entries.Add((resource, source, key, url));
        return new(url);
    }

    /// <summary>A copy of what is known under an identifier, to be changed and added; null: nothing is.</summary>
    public T? CopyOf<T>(Identifier key) where T : Resource, new() => Known(new T().TypeName, key) is T known ? (T)known.DeepCopy() : null;

    /// <summary>The sources of the entries of <see cref="ToBundle"/>, in their order.</summary>
    public IReadOnlyList<string> Sources => [.. Written.Select(static e => e.Source)];

    public Bundle ToBundle() => new()
    {
        Type = Bundle.BundleType.Transaction,
        Entry = [.. Written.Select(EntryOf)],
    };

    /// <summary>An id that follows from what it is for, as <c>urn:uuid:</c> (RFC 9562 §5.8).</summary>
    public static string UuidOf(params ReadOnlySpan<string> of)
    {
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', of!)));
        (hash[6], hash[8]) = ((byte)(hash[6] & 0x0F | 0x80), (byte)(hash[8] & 0x3F | 0x80));
        return "urn:uuid:" + new Guid(hash.AsSpan(0, 16), bigEndian: true).ToString("D");
    }

    private IEnumerable<(Resource Resource, string Source, Identifier? Key, string Url)> Written => _entries.Where(e => e.Key is null || Known(e.Resource.TypeName, e.Key) is not { } known || !IsSame(known, e.Resource));

    private Bundle.EntryComponent EntryOf((Resource Resource, string Source, Identifier? Key, string Url) entry)
    {
        var (resource, _, key, url) = entry;
        if (key is null || Known(resource.TypeName, key) is not { } known)
            return new()
            {
                FullUrl = url, Resource = resource,
                Request = new() { Method = Bundle.HTTPVerb.POST, Url = resource.TypeName, IfNoneExist = key is null ? null : "identifier=" + Uri.EscapeDataString(TokenOf(key)) },
            };
        resource.Id = known.Id;
        return new()
        {
            Resource = resource,
            Request = new() { Method = Bundle.HTTPVerb.PUT, Url = url, IfMatch = known.Meta?.VersionId is { } version ? $"W/\"{version}\"" : null },
        };
    }

    private Resource? Known(string type, Identifier key) => _known.FirstOrDefault(k => k.TypeName == type && IdentifiersOf(k).Any(i => i.System == key.System && i.Value == key.Value));

    /// <summary>But for what the server writes itself.</summary>
    private static bool IsSame(Resource known, Resource resource)
    {
        var (mine, stored) = ((Resource)resource.DeepCopy(), (Resource)known.DeepCopy());
        foreach (var one in (ReadOnlySpan<Resource>)[mine, stored])
        {
            one.Id = null;
            if (one.Meta is { } meta)
                one.Meta = meta.Security.Count > 0 || meta.Profile.Any() ? new() { Security = meta.Security, Profile = meta.Profile } : null;
        }
        return mine.IsExactly(stored);
    }

    private static IEnumerable<Identifier> IdentifiersOf(Resource resource) => resource switch
    {
        // It is found by either.
        DocumentReference document => document.MasterIdentifier is { } master ? document.Identifier.Prepend(master) : document.Identifier,
        IIdentifiable<List<Identifier>> many => many.Identifier,
        IIdentifiable<Identifier> { Identifier: { } one } => [one],
        _ => [],
    };

    private static string TokenOf(Identifier key) => $"{key.System}|{key.Value}";
}
