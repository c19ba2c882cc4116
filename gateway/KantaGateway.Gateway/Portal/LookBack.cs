using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>What to do after a stretch of the log.</summary>
internal enum Look
{
    /// <summary>Older entries are wanted.</summary>
    Further,

    /// <summary>That is enough; there may be older ones that matter.</summary>
    Enough,

    /// <summary>Nothing that is older matters.</summary>
    AtEnd,
}

/// <summary>Looks through the log of a person, newest entries first, as far as somebody needs it: each stretch is opened by the key service.</summary>
internal static class LookBack
{
    /// <summary>Entries that are opened at a time.</summary>
    public const int Stretch = 200;

    /// <summary>By which the clocks of who records and who logs may differ.</summary>
    public static readonly TimeSpan Skew = Declaration.Skew;

    /// <summary>So many stretches at most.</summary>
    public static IReadOnlyList<int> AtMost(int stretches) => [.. Enumerable.Repeat(Stretch, stretches)];

    /// <param name="before">Where an earlier look ended; null: the newest.</param>
    /// <param name="withOwn">Whether the person's own visits too.</param>
    /// <param name="stretches">How many entries are opened at a time, at least one; after the last there is no further.</param>
    /// <param name="look">Told the lines of each stretch, newest first.</param>
    /// <returns>Where what was not looked at begins; null: all that matters was seen.</returns>
    /// <exception cref="FaultException">As <see cref="IAccessLog.ForPersonAsync"/>.</exception>
    public static async Task<long?> BackAsync(this IAccessLog log, Requester citizen, long? before, bool withOwn, IEnumerable<int> stretches, Func<IReadOnlyList<AccessLine>, Look> look, CancellationToken cancel)
    {
        foreach (var entries in stretches)
        {
            var stretch = await log.ForPersonAsync(citizen, entries, before ?? long.MaxValue, withOwn, cancel);
            var then = look(stretch.Lines);
            if (stretch.Before is null || then == Look.AtEnd)
                return null;
            before = stretch.Before;
            if (then == Look.Enough)
                break;
        }
        return before;
    }

    /// <summary>The same for what stands without the log, of what others did.</summary>
    /// <returns>Whether all that matters was seen; null: the log cannot be opened now.</returns>
    public static async Task<bool?> TryBackAsync(this IAccessLog log, Requester citizen, int stretches, Func<IReadOnlyList<AccessLine>, Look> look, CancellationToken cancel)
    {
        try
        {
            return await log.BackAsync(citizen, null, withOwn: false, AtMost(stretches), look, cancel) is null;
        }
        catch (FaultException)
        {
            return null;
        }
    }
}
