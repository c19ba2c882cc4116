using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>Many at once, as far as it can be right or wrong; how fast it is measures <c>load-profile national</c>.</summary>
static class LoadChecks
{
    private const int Requests = 64, AtATime = 16;

    public static Task RunAsync(Steps steps, ClinicClient clinic, string patient, CancellationToken cancel) =>
        steps.AlsoAsync("load.burst", $"answers {Requests} reads, {AtATime} at a time, as one alone", async () =>
        {
            var alone = Expect.Status(await clinic.System.ReadAsync("Patient", patient, cancel).ConfigureAwait(false), "a read", 200);
            var replies = new FhirReply[Requests];
            await Parallel.ForEachAsync(Enumerable.Range(0, Requests), new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = cancel },
                async (i, token) => replies[i] = await clinic.System.ReadAsync("Patient", patient, token).ConfigureAwait(false)).ConfigureAwait(false);
            foreach (var reply in replies)
            {
                Expect.Status(reply, "a read among many", 200);
                var difference = Appearance.Difference(Appearance.Of(alone), Appearance.Of(reply));
                Expect.That(difference is null, "the same answer as alone", difference ?? "");
            }
            var receipts = replies.Select(static r => r.Headers.GetValueOrDefault("Kanta-Receipt", "")).ToList();
            Expect.That(receipts.Distinct().Count() == Requests, "an entry of the log for each", $"{receipts.Distinct().Count()} for {Requests}");
        });
}
