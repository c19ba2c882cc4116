using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Operations.Witnesses;

namespace KantaGateway.Gateway.Operations;

/// <summary>Health (for load balancers) and the public face of the audit log, neither of which tells anything about anyone.</summary>
public static class PublicEndpoints
{
    /// <summary><c>/audit/log/checkpoint</c> and <c>/audit/log/tile/...</c> (C2SP tlog-tiles): commitments only, salted; and <c>/audit/log/pruned</c>, the log's note of what it keeps no longer.</summary>
    public static void MapAuditLog(this WebApplication app)
    {
        var log = app.Services.GetRequiredService<AuditLog>();
        var witnesses = app.Services.GetService<Witnessing>();
        app.MapGet("/audit/log/checkpoint", async (HttpContext context) =>
        {
            // Behind a load balancer the next request comes to another gateway: of a log that they share it may not be shown an older one there.
            // Where there are witnesses, the one that they have vouched for: whoever checks it finds the quorum, and nobody is shown one that only we know.
            var note = witnesses is null ? await AskAsync(log.ReadNewestCheckpointAsync()) : await AskAsync(witnesses.CosignedAsync()) ?? throw new FaultException(NotWitnessed);
            context.Response.Headers.CacheControl = "no-cache";
            return Results.Text(note, "text/plain; charset=utf-8");
        });
        app.MapGet("/audit/log/pruned", async (HttpContext context) =>
        {
            if (await AskAsync(log.ReadPruningAsync()) is not { } pruning)
                return await RefuseAsync(context, NothingPruned);
            context.Response.Headers.CacheControl = "no-cache";
            return Results.Text(pruning.Note, "text/plain; charset=utf-8");
        });
        app.MapGet("/audit/log/tile/{**path}", async (HttpContext context, string path) =>
        {
            if (!TilePath.TryParse("tile/" + path, out var tile))
                return await RefuseAsync(context, NoTilePath);
            if (await AskAsync(log.ReadTileAsync(tile)) is not { } bytes)
                return await RefuseAsync(context, NoSuchTile);
            context.Response.Headers.CacheControl = "public, max-age=31536000, immutable";
            return Results.Bytes(bytes, "application/octet-stream");
        });
    }

    private static readonly Fault NotWitnessed = new(FaultKind.AuditUnavailable, "No quorum of witnesses has cosigned a checkpoint of this log yet.");

    /// <summary>What is no path at all, and what the tree has not, or not yet. Neither may be kept by anybody in between: the tile may be there a second later.</summary>
    private static readonly Fault
        NoTilePath = new(FaultKind.Invalid, "This is no path of a tile: tile/<level>/<number>[.p/<width>], or tile/entries/<number>[.p/<width>] (C2SP tlog-tiles)."),
        NoSuchTile = new(FaultKind.Absent, "The log's tree has no such tile."),
        NothingPruned = new(FaultKind.Absent, "Nothing of this log has been pruned.");

    private static async Task<IResult> RefuseAsync(HttpContext context, Fault fault)
    {
        await FaultWriter.WriteAsync(context, fault);
        return Results.Empty;
    }

    private static async ValueTask<T> AskAsync<T>(ValueTask<T> asked)
    {
        try
        {
            return await asked;
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(DisclosureAudit.Unavailable);
        }
    }

    /// <summary>
    /// <c>/health/live</c>: the process answers. <c>/health/ready</c>: repository, key service and Redis answer too, the last has had time to know what was used once, the audit log takes entries, no live probe has found a breach or been blind for long, and nobody has told the gateway to stop;
    /// 503 says which does not hold.
    /// </summary>
    public static void MapHealth(this WebApplication app)
    {
        var draining = app.Services.GetRequiredService<Draining>();
        app.MapGet("/health/live", () => Results.Text("live"));
        app.MapGet("/health/ready", async (Readiness readiness, CancellationToken cancel) => draining.IsDraining ? Results.Text("not ready: stopping", statusCode: 503)
            : await readiness.DownAsync(cancel) is { Count: > 0 } down ? Results.Text("not ready: " + string.Join(", ", down), statusCode: 503) : Results.Text("ready"));
    }
}
