using System.Collections.Concurrent;

namespace KantaGateway.Simulators;

/// <summary>Those who are told of breach cases, at <c>/breach-desk/[who]</c>: each takes what is posted, keeps it, and shows the claims of the last to whoever looks.</summary>
public sealed class SimulatedBreachDesk
{
    private readonly ConcurrentQueue<(string Who, string Token)> _told = new();
    private readonly ConcurrentDictionary<string, TaskCompletionSource<string>> _first = new();

    public static string PathOf(string who) => "/breach-desk/" + who;

    /// <summary>What was taken, in the order in which it came.</summary>
    public IReadOnlyList<(string Who, string Token)> Told => [.. _told];

    /// <summary>The first that somebody is told, when it comes.</summary>
    public Task<string> FirstOfAsync(string who) => First(who).Task;

    private TaskCompletionSource<string> First(string who) => _first.GetOrAdd(who, static _ => new(TaskCreationOptions.RunContinuationsAsynchronously));

    /// <summary>Misbehaviour: who answers 503 and keeps nothing.</summary>
    public string? IsAway { get; set; }

    internal void Map(WebApplication app)
    {
        app.MapPost("/breach-desk/{who}", async (string who, HttpRequest request) =>
        {
            if (who == IsAway)
                return Results.StatusCode(503);
            if (request.ContentType != "application/jwt")
                return Results.StatusCode(415);
            using var reader = new StreamReader(request.Body);
            var token = await reader.ReadToEndAsync();
            _told.Enqueue((who, token));
            First(who).TrySetResult(token);
            return Results.NoContent();
        });
        app.MapGet("/breach-desk/{who}", (string who) => Results.Text(
            _told.LastOrDefault(one => one.Who == who).Token is { } token ? new Microsoft.IdentityModel.JsonWebTokens.JsonWebToken(token).EncodedPayload is var payload ? Microsoft.IdentityModel.Tokens.Base64UrlEncoder.Decode(payload) : "" : "{}", "application/json"));
    }
}
