using System.Net;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>When an app has last read something.</summary>
internal abstract record LastReading
{
    private LastReading() { }
    public sealed record At(DateTimeOffset When) : LastReading;

    /// <summary>It has read nothing since it was allowed to.</summary>
    public sealed record Never : LastReading;

    /// <summary>Nothing among the newest entries of the log; older ones were not looked through.</summary>
    public sealed record NotLately : LastReading;

    /// <summary>The log cannot be opened now.</summary>
    public sealed record Unknown : LastReading;
}

/// <summary>An app that may read the citizen's record, with all that she has let it at.</summary>
/// <param name="Vendor">Who is responsible for it; null: it is no longer registered.</param>
/// <param name="What">What it may read, in words.</param>
/// <param name="KnowsWho">It is told who she is.</param>
/// <param name="Access">The longest that it has: <see cref="AppGrants.OfflineAccess"/>, <see cref="AppGrants.OnlineAccess"/>, or null.</param>
/// <param name="Since">When she allowed the first of it.</param>
/// <param name="Until">When the last of it ends.</param>
/// <param name="IsSuspended">Operators let it at nothing for now.</param>
internal sealed record ConnectedApp(string ClientId, string Name, string? Vendor, IReadOnlyList<string> What, bool KnowsWho, string? Access, DateTimeOffset Since, DateTimeOffset Until, bool IsSuspended, LastReading Read);

/// <summary>The apps that a citizen has let at her record, and the end of one of them.</summary>
internal sealed class ConnectedApps(AppsOfPerson apps, AppGrants grants, ClientRegistry registry, DisclosureAudit audit, IAccessLog log, Texts texts)
{
    /// <summary>So many stretches of the log are looked through for what apps have read.</summary>
    private const int MostStretches = 5;

    /// <summary>So many entries.</summary>
    public const int MostEntries = LookBack.Stretch * MostStretches;

    /// <summary>By name.</summary>
    /// <exception cref="SharedStateException">It is not known what they may.</exception>
    public async Task<IReadOnlyList<ConnectedApp>> OfAsync(Requester citizen, Pseudonym self, CancellationToken cancel)
    {
        var directory = registry.Current;
        IReadOnlyList<ConnectedApp> all = [.. (await apps.OfAsync(self)).GroupBy(static one => one.ClientId, StringComparer.Ordinal).Select(given => Tell(given.Key, directory.Find(given.Key), [.. given]))];
        if (all.Count > 0)
            all = await WithReadingsAsync(citizen, all, cancel);
        return [.. all.OrderBy(static app => app.Name, StringComparer.CurrentCulture)];
    }

    /// <summary>Ends what one app was given, at every gateway, before it returns. What it was given after stands.</summary>
    /// <returns>False: it has nothing of her.</returns>
    /// <exception cref="FaultException">It could not be recorded. Nothing was ended, and while nothing can be recorded no app receives anything.</exception>
    /// <exception cref="SharedStateException">It may not have ended everywhere; do it again.</exception>
    public async Task<bool> EndAsync(HttpContext context, Requester citizen, Pseudonym self, string clientId)
    {
        if (!(await apps.OfAsync(self)).Any(given => given.ClientId == clientId))
            return false;
        await audit.EndsAppAsync(context, citizen, self, clientId, registry.Current.Find(clientId));
        // Not with the request: who leaves the page has decided.
        await grants.EndAppAsync(self, clientId, CancellationToken.None);
        return true;
    }

    /// <summary>What a scope lets an app read, in words.</summary>
    public static string Word(Texts texts, string scope)
    {
        if (!SmartScope.TryParse(scope, out var asked) || asked.Type == "*")
            return texts["authorize.everything"];
        var type = texts.Find("type." + asked.Type) ?? asked.Type;
        return asked.Query is { } query ? texts["authorize.part", type, WebUtility.UrlDecode(query)] : type;
    }

    private ConnectedApp Tell(string clientId, RegisteredClient? client, IReadOnlyList<GivenToApp> given) => new(
        clientId, client?.AppName ?? client?.Registration.OrganisationName ?? clientId, client?.Registration.OrganisationName,
        [.. given.SelectMany(static one => one.Scopes).Select(scope => Word(texts, scope)).Distinct()], given.Any(static one => one.Identity.Count > 0),
        ((string[])[AppGrants.OfflineAccess, AppGrants.OnlineAccess]).FirstOrDefault(access => given.Any(one => one.Access == access)),
        given.Min(static one => one.Began), given.Max(static one => one.Ends), client is not { IsActive: true }, new LastReading.Unknown());

    /// <summary>When each has last read something, as far as the newest of the log tells.</summary>
    private async Task<IReadOnlyList<ConnectedApp>> WithReadingsAsync(Requester citizen, IReadOnlyList<ConnectedApp> all, CancellationToken cancel)
    {
        var found = new Dictionary<string, LastReading>(StringComparer.Ordinal);
        var isWhole = await log.TryBackAsync(citizen, MostStretches, lines =>
        {
            foreach (var app in all.Where(app => !found.ContainsKey(app.ClientId)))
                if (lines.FirstOrDefault(line => line.ClientId == app.ClientId && line.When >= app.Since - LookBack.Skew) is { } read)
                    found[app.ClientId] = new LastReading.At(read.When);
                else if (lines is [.., var oldest] && oldest.When < app.Since - LookBack.Skew)
                    found[app.ClientId] = new LastReading.Never();
            return found.Count == all.Count ? Look.AtEnd : Look.Further;
        }, cancel);
        LastReading rest = isWhole switch { null => new LastReading.Unknown(), true => new LastReading.Never(), false => new LastReading.NotLately() };
        return [.. all.Select(app => app with { Read = found.GetValueOrDefault(app.ClientId, rest) })];
    }
}
