using System.Collections.Concurrent;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Repository.Interactions;

/// <summary>A content whose parts are all stored and whose row is not.</summary>
/// <param name="Id">Of the Binary that it becomes a version of; null: a new one.</param>
/// <param name="SecurityContext">What it belongs with; null: as before.</param>
/// <param name="Generation">Of the data key that its parts are sealed under.</param>
sealed record ArrivedContent(string? Id, string ContentType, (string Type, string Id)? SecurityContext, StoredContent Stored, long Generation);

/// <summary>
/// Contents that arrived while the policy moved, until the gateway has decided anew: then nobody has to send them a second time.
/// Thread-safe.
/// </summary>
/// <remarks>
/// In memory: a repository that is started anew, or another one, does not know them, and the sender is told to send again. What is not
/// called for is let go after a minute, and the sweep takes its parts.
/// </remarks>
sealed class ArrivedContents(TimeProvider time)
{
    private static readonly TimeSpan Longest = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, (ArrivedContent Content, Pseudonym Compartment, string Caller, DateTimeOffset Until)> _held = new(StringComparer.Ordinal);

    /// <returns>The name to ask for it by.</returns>
    public string Hold(ArrivedContent content, RepositoryRequest request)
    {
        var now = time.GetUtcNow();
        foreach (var (name, held) in _held)
            if (held.Until <= now)
                _held.TryRemove(name, out _);
        var given = Guid.NewGuid().ToString("N");
        _held[given] = (content, request.Compartment, request.Grant.Caller, now + Longest);
        return given;
    }

    /// <summary>Gives it once, to whom it was held for.</summary>
    public ArrivedContent? Take(string name, RepositoryRequest request) =>
        _held.TryRemove(name, out var held) && held.Compartment == request.Compartment && held.Caller == request.Grant.Caller && held.Until > time.GetUtcNow() ? held.Content : null;
}
