using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Operations;

/// <summary>What two operators are told of a record that one of them wants destroyed, and no more: enough to see that it is another person's than was meant.</summary>
/// <param name="Born">Year of birth, the earliest that is stated; null: not known.</param>
/// <param name="Died">Year of death, the latest that is stated; null: no death is known, or not when.</param>
/// <param name="Controllers">OIDs of the controllers that have stored anything of it, in their order.</param>
/// <param name="LastStored">When anything was stored last, UTC; null: there is no record.</param>
/// <param name="KeptUntil">When its retention ends (<see cref="PersonFacts.KeptUntil"/>); null: not known.</param>
/// <param name="IsTreated">Whether a service event is open: one that goes on or is still to come, or a visit that nobody has ended and somebody has stored in the last twelve years.</param>
public sealed record RecordStanding(int? Born, int? Died, IReadOnlyList<string> Controllers, DateTimeOffset? LastStored, DateTimeOffset? KeptUntil, bool IsTreated)
{
    /// <summary>
    /// Whether the record may be destroyed: there is one, it is kept no longer, nobody treats the person, and nobody has stored anything for a year (Act 703/2023 §24, Annex).
    /// </summary>
    /// <remarks>Of who died twelve years ago nothing new is stored: a record that is written to is one more reason to look whether a single register's year of death is right.</remarks>
    public bool IsOverAt(DateTimeOffset now) => LastStored <= now.AddYears(-1) && KeptUntil <= now && !IsTreated;

    /// <summary>As an operator reads it; days are those of the Finnish calendar.</summary>
    public JsonObject Describe(DateTimeOffset now) => new()
    {
        ["born"] = Born, ["died"] = Died, ["controllers"] = new JsonArray([.. Controllers.Select(static oid => (JsonNode)oid)]),
        ["last_stored"] = DayOf(LastStored), ["kept_until"] = DayOf(KeptUntil), ["is_treated"] = IsTreated, ["is_over"] = IsOverAt(now),
    };

    private static string? DayOf(DateTimeOffset? at) => at is { } time ? FinnishTime.DayOf(time).ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture) : null;
}

/// <summary>Asks the repository whether a person's record is kept any longer, for operators who want it destroyed. Thread-safe.</summary>
/// <remarks>Always asked anew: what a kept policy says may be out of date, and there is no way back.</remarks>
public sealed class RecordRetention(PolicyRequests requests, PolicyPreview preview, GatewayOptions options, TimeProvider time)
{
    private static readonly DisclosureScope Whole = new() { Breadth = Breadth.WholePerson };

    /// <exception cref="FaultException">The repository or the key service does not answer. Nothing was done.</exception>
    public async Task<RecordStanding> OfAsync(Pseudonym person, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        var asker = Requester.OfGateway(options, "operators", now);
        var (facts, events, stored) = await requests.AskAsync(asker, person, "/policy", null,
            static policy => (PolicyLookup.PersonIn(policy), PolicyLookup.EventsIn(policy), PolicyLookup.Instant(policy, "stored")), cancel);
        var entries = stored is null ? [] : await preview.CountAsync(asker, person, new() { Within = Whole, Scopes = [Whole] }, cancel);
        return new(facts.BirthDate?.Year, YearOf(facts.DiedBy), [.. entries.Select(static entry => entry.Controller).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal)],
            stored, facts.KeptUntil, events.Any(one => one.IsOpenAt(now) || one.Start > now || (one.IsStaleAt(now) && one.StoredAt > now.AddYears(-PersonFacts.YearsAfterDeath))));
    }

    // A death of unknown time has one that no calendar has.
    private static int? YearOf(DateTimeOffset? died) => died is { Year: > 1 and < 9999 } known ? FinnishTime.DayOf(known).Year : null;
}
