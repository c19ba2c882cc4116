using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Laws;

/// <summary>
/// Law 3: when the request that set a denial has been answered, no request that begins later discloses against it; and
/// the next request after a permission has it.
/// </summary>
public class DenialBindsAtOnceTests
{
    private readonly record struct Seen(long Began, long Ended, bool Disclosed);

    [Fact]
    public async Task No_read_that_begins_after_a_denial_was_answered_discloses_while_many_readers_hammer()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        await house.PermitAsync();
        var opened = await house.Reader.ReadAsync("Observation", note);
        Assert.Contains(HouseInMemory.Secret, opened.Text);

        var seen = new ConcurrentQueue<Seen>();
        using var stop = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 6).Select(i => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                var began = Stopwatch.GetTimestamp();
                var reply = i % 2 == 0
                    ? await house.Reader.ReadAsync("Observation", note)
                    : await house.Reader.SearchAsync("Observation", "patient=" + house.PatientId);
                seen.Enqueue(new(began, Stopwatch.GetTimestamp(), reply.Text.Contains(HouseInMemory.Secret, StringComparison.Ordinal)));
                Assert.True(reply.Status is 200 or 404 or 503, reply.ToString());
            }
        })).ToArray();

        var disclosedAgain = 0;
        for (var round = 0; round < 10; round++)
        {
            var denial = await house.DeclareAsync(Declarations.Denial(house.PatientId,
                round % 2 == 0 ? new DenialTarget.All() : new DenialTarget.OfServiceEvent("1.2.246.10.99000011.14.2026.1"), DateTimeOffset.UtcNow));
            var answered = Stopwatch.GetTimestamp();
            await UntilAsync(readers, () => seen.Count(s => s.Began > answered) >= 12);
            var before = Stopwatch.GetTimestamp();
            Assert.DoesNotContain(seen, s => s.Began > answered && s.Ended < before && s.Disclosed);

            await house.WithdrawAsync(denial);
            var withdrawn = Stopwatch.GetTimestamp();
            await UntilAsync(readers, () => seen.Count(s => s.Began > withdrawn) >= 12);
            disclosedAgain += seen.Count(s => s.Began > withdrawn && s.Disclosed);
            // Answered one by one, not under the hammer's own conflicts: the next request has the permission again.
            var next = await house.Reader.ReadAsync("Observation", note);
            Assert.Contains(HouseInMemory.Secret, next.Text);
        }
        await stop.CancelAsync();
        await Task.WhenAll(readers);
        Assert.True(disclosedAgain > 0, "The readers never saw the record between denials, so the test showed nothing.");
    }

    [Fact]
    public async Task A_page_link_given_before_the_denial_discloses_nothing_after_it()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        for (var i = 0; i < 3; i++)
            Assert.Equal(201, (await house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(house.Observation($"{HouseInMemory.Secret} {i}")))).Status);
        await house.PermitAsync();
        var page = await house.Reader.SearchAsync("Observation", $"patient={house.PatientId}&_count=2");
        var next = page.Json.GetProperty("link").EnumerateArray().Single(l => l.GetProperty("relation").GetString() == "next").GetProperty("url").GetString()!;
        Assert.Contains(HouseInMemory.Secret, Encoding.UTF8.GetString((await house.Reader.SendAsync(HttpMethod.Get, next)).Body));

        await house.DeclareAsync(Declarations.Denial(house.PatientId, new DenialTarget.All(), DateTimeOffset.UtcNow));

        Assert.DoesNotContain(HouseInMemory.Secret, (await house.Reader.SendAsync(HttpMethod.Get, next)).Text);
    }

    /// <summary>Waits for progress of the readers; one that fails ends the wait.</summary>
    private static async Task UntilAsync(Task[] readers, Func<bool> reached)
    {
        while (!reached())
        {
            await Task.Yield();
            if (readers.FirstOrDefault(r => r.IsFaulted) is { } failed)
                await failed;
        }
    }
}
