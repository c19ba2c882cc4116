using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Compartment;

/// <summary>
/// What an AuditEvent must be to be taken as an entry of a controller's own use log (Act 703/2023 §10, §70): of what has been, and told by that controller. Log data stay
/// unaltered, so what is wrong is refused when it comes. Pure.
/// </summary>
public static class UseLogEntry
{
    /// <summary>By how much the writer's clock may be ahead.</summary>
    public static readonly TimeSpan Skew = TimeSpan.FromMinutes(5);

    /// <summary>What is wrong; empty: nothing.</summary>
    /// <param name="entry">It has passed validation.</param>
    /// <param name="controller">OID of the organisation whose log it is to be in.</param>
    /// <param name="now">UTC.</param>
    /// <param name="element">Where the entry stands in the request, such as <c>AuditEvent</c> or <c>Bundle.entry[0].resource</c>.</param>
    public static IEnumerable<FaultIssue> Wrong(AuditEvent entry, string controller, DateTimeOffset now, string element)
    {
        if (entry.Recorded > now + Skew)
            yield return new($"An entry of a use log is of what has been: recorded lies more than {Skew.TotalMinutes:0} minutes ahead of this server's clock. Set the sender's clock, and send the time in UTC or with its offset.",
                element + ".recorded", "business-rule");
        if (IsAhead(entry.Period?.StartElement, now))
            yield return new("An entry of a use log is of what has been: period.start lies in the future.", element + ".period.start", "business-rule");
        if (OrganisationOid.Of(entry, entry.Source?.Observer) is { } observer && !OrganisationOid.IsOf(observer, controller))
            yield return new($"A use log is kept by the controller itself: source.observer names {observer}, and this entry goes into the log of {controller}. Name an organisation or unit of that one, or send it with that organisation's system.",
                element + ".source.observer", "business-rule");
    }

    private static bool IsAhead(FhirDateTime? time, DateTimeOffset now) =>
        time is not null && time.TryToDateTimeOffset(TimeSpan.Zero, out var at) && at > now + Skew;
}
