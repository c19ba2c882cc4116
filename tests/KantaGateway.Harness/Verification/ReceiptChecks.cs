using System.Globalization;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>What a clinic can make of the receipts that came with its answers.</summary>
public static class ReceiptChecks
{
    /// <param name="client">Whose answers are looked at, all that it has received.</param>
    /// <param name="other">Another clinic, which must learn nothing of them.</param>
    public static async Task RunAsync(Steps steps, ClinicClient client, ClinicClient other, CancellationToken cancel = default)
    {
        if (!steps.Wants("audit.receipt"))
            return;
        // Where nothing else was asked for, there is an answer to look at all the same.
        if (!client.Received.Any(static a => a.Gives))
            await client.System.SearchAsync("Organization", "_count=1", cancel).ConfigureAwait(false);
        ReceivedAnswer[] answers = [.. client.Received, .. client.Received.SelectMany(a => a.Entries)];
        await steps.AlsoAsync("audit.receipt-carried", $"every answer that gave {client.Name} something carries a receipt, and no other does", () =>
        {
            Expect.That(answers.Any(a => a.Gives), "answers that gave something", "none");
            foreach (var answer in answers)
                Expect.That(answer.Gives == answer.Receipts.Count > 0, answer.Gives ? "a receipt" : "no receipt", $"{answer.Receipts.Count} with {answer.What}");
            var all = answers.SelectMany(a => a.Receipts).ToList();
            Expect.That(all.Distinct().Count() == all.Count, "another entry for every answer", "one for two");
            return Task.CompletedTask;
        }).ConfigureAwait(false);
        await steps.AlsoAsync("audit.receipt-proof", $"{client.Name} gets for each receipt the proof that its entry is in the log", async () =>
        {
            var (log, witnesses) = (client.Folder.AuditLog, client.Folder.Witnesses);
            foreach (var receipt in answers.SelectMany(a => a.Receipts))
            {
                var reply = Expect.Status(await AskAsync(client, receipt.Index.ToString(CultureInfo.InvariantCulture), cancel).ConfigureAwait(false), "the proof of a receipt", 200);
                var problem = ReceiptProof.ProblemOf(reply.Text, receipt, log, witnesses);
                Expect.That(problem is null, "the proof of that entry, signed by the log and cosigned by a quorum of witnesses", $"another: {problem}");
            }
        }).ConfigureAwait(false);
        await steps.AlsoAsync("audit.receipt-foreign", $"{other.Name} asks for {client.Name}'s receipt as for one that was never given", async () =>
        {
            var index = answers.SelectMany(a => a.Receipts).First().Index.ToString(CultureInfo.InvariantCulture);
            var foreign = Appearance.Of(Expect.Status(await AskAsync(other, index, cancel).ConfigureAwait(false), "somebody else's receipt", 404));
            foreach (var never in (string[])["999999999999", "-1", "x", "99999999999999999999"])
            {
                var difference = Appearance.Difference(foreign, Appearance.Of(await AskAsync(other, never, cancel).ConfigureAwait(false)));
                Expect.That(difference is null, "the same answer to both", difference ?? "");
            }
        }).ConfigureAwait(false);
    }

    private static async Task<FhirReply> AskAsync(ClinicClient client, string index, CancellationToken cancel) =>
        await client.SendAsync(HttpMethod.Get, $"/audit/receipts/{index}", await client.TokenAsync(cancel).ConfigureAwait(false), cancel: cancel).ConfigureAwait(false);
}
