namespace KantaGateway.Gateway.Portal;

/// <summary>Tells operators whether this gateway serves.</summary>
internal interface IReadiness
{
    /// <summary>What can be down.</summary>
    public const string Probes = "probes", Audit = "audit", Repository = "repository", Keys = "keys", Redis = "redis";

    /// <summary>All of them, in the order in which they are told.</summary>
    public static readonly IReadOnlyList<string> All = [Repository, Keys, Redis, Audit, Probes];

    /// <returns>What keeps it from serving; empty: nothing does.</returns>
    Task<IReadOnlyList<string>> DownAsync(CancellationToken cancel);
}
