using KantaGateway.Audit;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>The portal from outside, without a session, and the public audit log.</summary>
static class PortalChecks
{
    private static readonly string[] Pages = ["/records", "/records/timeline", "/records/rectifications", "/consent", "/access-log", "/inbox"];

    private static readonly string[] Addresses = ["/consent/v1/preview", "/consent/v1/explain", "/apps/v1/apps", "/inbox/v1/messages", "/records/v1/rectifications"];

    public static async Task RunAsync(Steps steps, DevFolder folder, Uri target, CancellationToken cancel)
    {
        using var nobody = ClinicClient.Open(folder, "aurora", target, certificateOf: "");
        await steps.AlsoAsync("portal.session", "shows nothing personal to who has not signed in", async () =>
        {
            foreach (var path in Pages)
            {
                var reply = await AskAsync(nobody, HttpMethod.Get, path, cancel).ConfigureAwait(false);
                Expect.That(reply.Status is 302 or 303 or 401, $"303 or 401 for {path}", $"{reply.Status}");
            }
        }).ConfigureAwait(false);
        await steps.AlsoAsync("portal.api-session", "refuses the JSON addresses to who has not signed in", async () =>
        {
            foreach (var path in Addresses)
            {
                var reply = await AskAsync(nobody, path.EndsWith("s", StringComparison.Ordinal) ? HttpMethod.Get : HttpMethod.Post, path, cancel).ConfigureAwait(false);
                Expect.That(reply.Status is 401 or 403 or 303, $"a refusal at {path}", $"{reply.Status}");
            }
        }).ConfigureAwait(false);
        await steps.AlsoAsync("portal.headers", "sends with every page what keeps it from being framed, kept or taken for something else", async () =>
        {
            foreach (var path in (string[])["/", "/about", "/help"])
            {
                var reply = Expect.Status(await AskAsync(nobody, HttpMethod.Get, path, cancel).ConfigureAwait(false), path, 200);
                foreach (var (name, part) in new[] { ("Content-Security-Policy", "default-src"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "same-origin"), ("Cache-Control", "no-store") })
                    Expect.That(reply.Headers.GetValueOrDefault(name, "").Contains(part, StringComparison.Ordinal), $"{name} with {part} at {path}", reply.Headers.GetValueOrDefault(name, "none"));
            }
        }).ConfigureAwait(false);
        await steps.AlsoAsync("portal.openapi", "describes its JSON addresses", async () =>
        {
            var described = Expect.Status(await AskAsync(nobody, HttpMethod.Get, "/openapi/v1.json", cancel).ConfigureAwait(false), "/openapi/v1.json", 200).Json.GetProperty("paths");
            foreach (var path in Addresses)
                Expect.That(described.TryGetProperty(path, out _), $"{path} described", "not");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("audit.checkpoint", "publishes a checkpoint that the log and its witnesses have signed, and that never goes back", async () =>
        {
            var first = await CheckpointAsync(nobody, folder, cancel).ConfigureAwait(false);
            var second = await CheckpointAsync(nobody, folder, cancel).ConfigureAwait(false);
            Expect.That(second.Size >= first.Size, "as many entries as before, or more", $"{second.Size} after {first.Size}");
        }).ConfigureAwait(false);
    }

    private static async Task<Checkpoint> CheckpointAsync(ClinicClient nobody, DevFolder folder, CancellationToken cancel)
    {
        var note = Expect.Status(await AskAsync(nobody, HttpMethod.Get, "/audit/log/checkpoint", cancel).ConfigureAwait(false), "the checkpoint", 200).Text;
        Expect.That(Checkpoint.TryOpen(note, folder.AuditLog, out var checkpoint), "a checkpoint that the log's key has signed", "another");
        Expect.That(folder.Witnesses?.IsMetBy(note) is not false, "one that a quorum of witnesses has cosigned", $"one that {folder.Witnesses?.CosignersOf(note).Count} of them have");
        return checkpoint!;
    }

    private static Task<FhirReply> AskAsync(ClinicClient nobody, HttpMethod method, string path, CancellationToken cancel) =>
        nobody.SendAsync(method, path, null, method == HttpMethod.Post ? "{}"u8.ToArray() : null, "application/json", cancel: cancel);
}
