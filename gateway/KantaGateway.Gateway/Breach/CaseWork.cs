using System.Globalization;
using System.Text.Json;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Breach;

/// <summary>What is wrong with what somebody writes about a case.</summary>
internal enum CaseFault
{
    /// <summary>What was seen is missing, or too long.</summary>
    What,

    /// <summary>It is said to have become known later than now.</summary>
    Later,

    /// <summary>It holds what looks like an identity code: a case names nobody.</summary>
    IdentityCode,

    /// <summary>What was sent to an authority is without the authority or its reference, or one of them is too long.</summary>
    Sent,

    /// <summary>What was done is missing, or too long.</summary>
    Note,
}

/// <summary>What persons do about cases, by page or by address: they open one, and write its journal. Recorded before it is done.</summary>
internal sealed class CaseWork(BreachCases cases, IOperatorObserver observer, TimeProvider time)
{
    /// <summary>Characters.</summary>
    public const int LongestText = 2_000, LongestName = 200;

    /// <summary>The steps that persons take; the others are the gateway's own.</summary>
    public static readonly IReadOnlyList<BreachStepKind> Steps =
    [
        BreachStepKind.EarlyWarningSent, BreachStepKind.AuthorityNotified, BreachStepKind.IncidentNotified, BreachStepKind.FinalReportSent, BreachStepKind.PersonsNotified,
        BreachStepKind.FollowUpSent, BreachStepKind.Contained, BreachStepKind.Note,
    ];

    /// <summary>Whether a step tells an authority something, and so has to say which one and under what reference.</summary>
    public static bool IsSent(BreachStepKind kind) => kind is BreachStepKind.AuthorityNotified or BreachStepKind.EarlyWarningSent or BreachStepKind.IncidentNotified or BreachStepKind.FinalReportSent or BreachStepKind.FollowUpSent;

    /// <summary>How the journal names somebody.</summary>
    public static string NameOf(Operator who) => $"{who.Name} ({who.Tenant}/{who.Id})";

    /// <summary>Opens a case. Whoever sees a breach says so, whatever her role: to open one wrongly costs an hour.</summary>
    /// <param name="what">A plain sentence without personal data.</param>
    /// <param name="awareAt">When it became known; null: now.</param>
    /// <returns>The case, or why there is none.</returns>
    /// <exception cref="Fhir.Outcomes.FaultException">It could not be recorded, so it was not done.</exception>
    public async Task<(BreachCase? Case, CaseFault? Fault)> OpenAsync(HttpContext context, Operator who, string? what, DateTimeOffset? awareAt)
    {
        CaseFault? fault = what is not { Length: > 0 and <= LongestText } ? CaseFault.What : awareAt > time.GetUtcNow() ? CaseFault.Later : OutboundMessage.HoldsIdentityCode(what) ? CaseFault.IdentityCode : null;
        if (fault is not null)
            return (null, fault);
        await observer.ActedAsync(context, who, "Opens a breach case.", null, null).ConfigureAwait(false);
        return (await cases.OpenAsync(BreachKind.Reported, what!, new(NameOf(who), awareAt?.ToUniversalTime())).ConfigureAwait(false), null);
    }

    /// <summary>Adds a line to the journal of a case. When it was done is now.</summary>
    /// <returns>The line, or why there is none; neither: there is no such case.</returns>
    /// <exception cref="Fhir.Outcomes.FaultException">It could not be recorded, so it was not done.</exception>
    public async Task<(BreachStep? Step, CaseFault? Fault)> AddStepAsync(HttpContext context, Operator who, long number, BreachStepKind kind, string? to, string? reference, string? note)
    {
        CaseFault? fault = to?.Length > LongestName || reference?.Length > LongestName || (IsSent(kind) && (to is not { Length: > 0 } || reference is not { Length: > 0 })) ? CaseFault.Sent
            : note?.Length > LongestText || (!IsSent(kind) && note is not { Length: > 0 }) ? CaseFault.Note
            : new[] { to, reference, note }.Any(static text => text is not null && OutboundMessage.HoldsIdentityCode(text)) ? CaseFault.IdentityCode : null;
        if (fault is not null || cases.Find(number) is null)
            return (null, fault);
        await observer.ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture, $"Adds {JsonNamingPolicy.KebabCaseLower.ConvertName(kind.ToString())} to breach case {number}."), null, null).ConfigureAwait(false);
        return (await cases.AddStepAsync(number, kind, NameOf(who), to, reference, note).ConfigureAwait(false), null);
    }
}
