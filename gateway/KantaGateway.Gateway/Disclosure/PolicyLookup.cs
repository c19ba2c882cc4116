using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Search;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using Microsoft.Extensions.Caching.Memory;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>Fetches and keeps the compiled policies of people.</summary>
/// <remarks>
/// A kept snapshot may be out of date; that is harmless, since the repository checks the version in the snapshot that it
/// reads (law 3) and the pipeline then calls <see cref="Forget"/> and asks again. At most 20,000 are kept, each for 5 minutes of disuse.
/// </remarks>
public sealed class PolicyLookup(PolicyRequests requests)
{
    private readonly MemoryCache _snapshots = new(new MemoryCacheOptions { SizeLimit = 20_000 });

    /// <summary>The policy in force when this is called, or a kept one that the repository will vouch for or refuse.</summary>
    public async ValueTask<PolicySnapshot> OfAsync(Requester requester, Pseudonym compartment, CancellationToken cancel) =>
        Serve(compartment) ?? await FetchAsync(requester, compartment, cancel);

    /// <summary>The policy as the repository has it now; for the person's own pages, which show it.</summary>
    public async Task<PolicySnapshot> FetchAsync(Requester requester, Pseudonym compartment, CancellationToken cancel)
    {
        var snapshot = await requests.AskAsync(requester, compartment, "/policy", null, Compile, cancel);
        _snapshots.Set(compartment, new Kept(snapshot), new MemoryCacheEntryOptions { Size = 1, SlidingExpiration = TimeSpan.FromMinutes(5) });
        return snapshot;
    }

    /// <summary>Drops a kept policy: the repository has said that it moved on, or a refusal would rest on it.</summary>
    /// <returns>Whether it was a kept one that had served before, so that asking again can bring another.</returns>
    public bool Forget(Pseudonym compartment, PolicySnapshot policy)
    {
        if (!_snapshots.TryGetValue(compartment, out Kept? kept) || kept!.Policy != policy)
            return false;
        _snapshots.Remove(compartment);
        return kept.Served;
    }

    private sealed class Kept(PolicySnapshot policy)
    {
        public PolicySnapshot Policy { get; } = policy;
        public bool Served { get; set; }
    }

    private PolicySnapshot? Serve(Pseudonym compartment)
    {
        if (!_snapshots.TryGetValue(compartment, out Kept? kept))
            return null;
        kept!.Served = true;
        return kept.Policy;
    }

    /// <param name="policy">The repository's answer to <c>/policy</c>.</param>
    internal static PolicySnapshot Compile(JsonElement policy) => PolicySnapshot.Compile(
        policy.GetProperty("version").GetInt64(),
        policy.GetProperty("consents").EnumerateArray().Zip(policy.GetProperty("order").EnumerateArray(),
            static (consent, order) => Declarations.Read(consent) is { } declaration ? declaration with { Order = order.GetInt64() } : null),
        EventsIn(policy), PersonIn(policy));

    /// <summary>The unfinished service events of the repository's answer.</summary>
    internal static ServiceEvent[] EventsIn(JsonElement policy) => [.. policy.GetProperty("serviceEvents").EnumerateArray().Select(e => new ServiceEvent(
        Text(e, "oid"), string.Intern(Text(e, "controller") ?? ""), Text(e, "status") ?? "", Start(e), End(e))
    {
        Kind = Text(e, "kind") == "Appointment" ? CareEventKind.Appointment : CareEventKind.Encounter,
        StoredAt = Instant(e, "stored"),
        Register = Text(e, "register") ?? Register.Patient,
        Unit = Text(e, "unit"),
        Services = e.TryGetProperty("services", out var services) ? (ProtectedService)services.GetByte() : ProtectedService.None,
    })];

    /// <summary>What it says of the person.</summary>
    internal static PersonFacts PersonIn(JsonElement policy) => PersonFacts.Of([.. policy.GetProperty("people").EnumerateArray().Select(static person => PersonFacts.Stated(
        Text(person, "birthDate"), Text(person, "deceased"), Text(person, "stored"), person.TryGetProperty("alive", out _), Text(person, "controller")))]);

    /// <summary>A time of it; null: it is not there, or cannot be read.</summary>
    internal static DateTimeOffset? Instant(JsonElement element, string name) => TimeRange.TryParse(Text(element, name), out var range) ? At(range.Start) : null;

    private static string? Text(JsonElement element, string name) =>
        element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    /// <summary>Where the stated start begins; one that cannot be read has never come.</summary>
    private static DateTimeOffset? Start(JsonElement serviceEvent) => Text(serviceEvent, "start") is not { } text ? null
        : TimeRange.TryParse(text, out var range) ? At(range.Start) : DateTimeOffset.MaxValue;

    /// <summary>Where the stated end is over: "2026-11-25" lasts to the end of that Finnish day; one that cannot be read is over.</summary>
    private static DateTimeOffset? End(JsonElement serviceEvent) => Text(serviceEvent, "end") is not { } text ? null
        : TimeRange.TryParse(text, out var range) ? At(range.End) : DateTimeOffset.MinValue;

    private static DateTimeOffset At(long utcTicks) => new(Math.Clamp(utcTicks, 0, DateTime.MaxValue.Ticks), TimeSpan.Zero);
}
