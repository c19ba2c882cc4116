using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// By what the accesses of a breach are known: a stretch of time, and what all of them have in common. What is null is not asked about; where there is nothing else, all of that time is meant.
/// </summary>
internal sealed record ScopeCriteria
{
    /// <summary>Longest stretch: what is looked at in one go.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromDays(400);

    /// <summary>Earliest time, UTC.</summary>
    public required DateTimeOffset From { get; init; }

    /// <summary>Latest time, UTC.</summary>
    public required DateTimeOffset To { get; init; }

    /// <summary>OAuth client id.</summary>
    public string? Client { get; init; }

    /// <summary>Who has a key budget and an opaque name: <c>client</c>, <c>client@[OID of the tenant]</c>, each with <c>|[number of the professional]</c> where one asks.</summary>
    public string? Requester { get; init; }

    /// <summary>SHA-256 of the TLS client certificate, hexadecimal or base64url.</summary>
    public string? Certificate { get; init; }

    /// <summary>The professional's number.</summary>
    public string? Professional { get; init; }

    /// <summary>OID: the organisation, each of its units, and whoever asks through its system.</summary>
    public string? Organisation { get; init; }

    /// <summary>IP address, or a network such as <c>10.1.0.0/16</c>.</summary>
    public string? Address { get; init; }

    /// <summary>jti of the access token, or id of the portal session.</summary>
    public string? Token { get; init; }

    /// <summary><c>Patient/[id]</c> of the citizen who acts.</summary>
    public string? Citizen { get; init; }

    /// <summary><c>Patient/[id]</c> of the person whose data it is: a canary, say.</summary>
    public string? Patient { get; init; }

    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web)
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    /// <summary>What each may be, as one types it.</summary>
    public const string Form = """{"from": time, "to": time, at most 400 days, and what is known of "client", "requester", "certificate", "professional", "organisation", "address", "token", "citizen": "Patient/[id]", "patient": "Patient/[id]"}""";

    /// <summary>Reads the content of an act.</summary>
    /// <returns>Null: it is not of that form, or one of it cannot be.</returns>
    public static ScopeCriteria? Read(string json)
    {
        try
        {
            return JsonSerializer.Deserialize<ScopeCriteria>(json, Format) is { } read && read.To >= read.From && read.To - read.From <= Longest && read.Test() is not null ? read : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    public override string ToString() => JsonSerializer.Serialize(this, Format);

    /// <summary>What decides about an entry.</summary>
    /// <returns>Null: a criterion is malformed.</returns>
    public ScopeTest? Test()
    {
        var (needles, tests) = (new List<byte[]>(), new List<Predicate<DisclosureRecord>>());
        // As the record was written: what is not in its bytes is not in the record.
        void Needle(string text) => needles.Add(JsonEncodedText.Encode(text).EncodedUtf8Bytes.ToArray());
        if (new[] { Client, Requester, Certificate, Professional, Organisation, Address, Token, Citizen, Patient }.Contains("") || !TryId(Citizen, out var citizen) || !TryId(Patient, out var patient))
            return null;
        if (Client is { } client)
        {
            Needle(client);
            tests.Add(record => record.System.ClientId == client);
        }
        if (Requester is { } requester)
        {
            // However it is cut, the client's id begins with this.
            Needle(requester.Split('@', '|')[0]);
            tests.Add(record => CallerIn(record) == requester);
        }
        if (Certificate is { } certificate)
        {
            if (ContainedSubject.ThumbprintIn(certificate) is not { } thumbprint)
                return null;
            Needle(thumbprint);
            tests.Add(record => record.System.Certificate == thumbprint);
        }
        if (Professional is { } professional)
        {
            Needle(professional);
            tests.Add(record => record.Professional?.Id == professional);
        }
        if (Organisation is { } organisation)
        {
            if (!Oid.TryParse(organisation, out _))
                return null;
            Needle(organisation);
            tests.Add(record => IsOf(record.Organisation.Oid, organisation) || (record.Subscriber is { } subscriber && IsOf(subscriber.Oid, organisation)));
        }
        IPNetwork? network = null;
        if (Address is { } address)
        {
            if (IPNetwork.TryParse(address, out var given))
                network = given;
            else if (IPAddress.TryParse(address, out var one))
            {
                network = new(Plain(one), Plain(one).GetAddressBytes().Length * 8);
                // Written so also where it came as one of IPv6. That has several spellings itself.
                if (Plain(one).AddressFamily == AddressFamily.InterNetwork)
                    Needle(Plain(one).ToString());
            }
            else
                return null;
            tests.Add(record => IPAddress.TryParse(record.System.Address, out var from) && network.Value.Contains(Plain(from)));
        }
        if (Token is { } token)
        {
            Needle(token);
            tests.Add(record => record.TokenId == token);
        }
        if (citizen is not null)
        {
            Needle(citizen);
            tests.Add(record => record.Citizen?.Id == citizen);
        }
        if (patient is not null)
        {
            Needle(patient);
            tests.Add(record => record.PatientId == patient);
        }
        tests.Add(record => record.Recorded >= From && record.Recorded <= To);
        return new([.. needles], network, [.. tests]);
    }

    /// <summary>The opaque name under which the key service counted whose records were opened; of a citizen only she has one that tells.</summary>
    private static string CallerIn(DisclosureRecord record)
    {
        var system = record.Subscriber is null ? record.System.ClientId : $"{record.System.ClientId}@{record.Organisation.Oid}";
        return record.Professional is { } professional ? $"{system}|{professional.Id}" : system;
    }

    private static bool IsOf(string oid, string organisation) => oid == organisation || (oid.StartsWith(organisation, StringComparison.Ordinal) && oid.AsSpan(organisation.Length).StartsWith(".10."));

    internal static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    private static bool TryId(string? reference, out string? id)
    {
        const string Prefix = "Patient/";
        id = null;
        if (reference is null)
            return true;
        if (!reference.StartsWith(Prefix, StringComparison.Ordinal) || !Guid.TryParseExact(reference.AsSpan(Prefix.Length), "D", out var read))
            return false;
        id = read.ToString("D");
        return true;
    }
}

/// <summary>Decides about entries, and counts those that are meant and have shown nobody's data. Thread-safe.</summary>
/// <param name="needles">Bytes that every record that is meant contains: most are told apart by these alone.</param>
/// <param name="network">Where every record that is meant was asked from, likewise; null: anywhere.</param>
/// <param name="tests">What the record has to be.</param>
internal sealed class ScopeTest(byte[][] needles, IPNetwork? network, Predicate<DisclosureRecord>[] tests)
{
    // A quotation mark within a text is written as another character: this is the name of the one address that a record has.
    private static ReadOnlySpan<byte> AddressBefore => "\"address\":\""u8;

    private long _refused, _ofNobody;

    /// <summary>Requests that are meant and gave nothing: refused, failed, or about what is not there.</summary>
    public long Refused => _refused;

    /// <summary>Those that showed or changed what is no person's: the directory.</summary>
    public long OfNobody => _ofNobody;

    /// <summary>Whether the entry shows or changes a person's data, and is meant.</summary>
    public bool IsWanted(ReadOnlySpan<byte> utf8, ReadOnlySpan<byte> withheld)
    {
        foreach (var needle in needles)
            if (utf8.IndexOf(needle) < 0 && withheld.IndexOf(needle) < 0)
                return false;
        if (network is { } wanted && !IsFrom(wanted, utf8))
            return false;
        if (!DisclosureRecord.TryRead(utf8, withheld, out var record) || !Array.TrueForAll(tests, test => test(record)))
            return false;
        if (record is { Outcome: AuditOutcome.Success, Kind: not AuditKind.AuthorizationDecision, Items.Count: > 0 })
        {
            if (record.PatientId is not null)
                return true;
            Interlocked.Increment(ref _ofNobody);
        }
        // That a write was permitted is followed by what it wrote.
        else if (record.Outcome != AuditOutcome.Success || record.Kind != AuditKind.AuthorizationDecision)
            Interlocked.Increment(ref _refused);
        return false;
    }

    private static bool IsFrom(IPNetwork network, ReadOnlySpan<byte> utf8)
    {
        if (utf8.IndexOf(AddressBefore) is not (>= 0 and var at))
            return false;
        var rest = utf8[(at + AddressBefore.Length)..];
        return rest.IndexOf((byte)'"') is >= 0 and var end && IPAddress.TryParse(rest[..end], out var from) && network.Contains(ScopeCriteria.Plain(from));
    }
}
