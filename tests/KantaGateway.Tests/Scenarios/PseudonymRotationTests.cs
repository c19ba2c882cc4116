using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Loading;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Scenarios;

/// <summary>The key by which people are found is replaced while clinics ask by identity code, and the old one destroyed: nobody notices.</summary>
public sealed class PseudonymRotationTests
{
    [Fact]
    public async Task Requests_by_identity_code_go_on_and_every_id_stays_while_the_pseudonym_key_is_replaced_and_when_the_old_one_is_gone()
    {
        await using var house = await HouseInMemory.OpenAsync();
        using var olga = await OperatorTests.SignInAsync(house.Target.ToString().TrimEnd('/'), 0);
        using var heikki = await OperatorTests.SignInAsync(house.Target.ToString().TrimEnd('/'), 1);
        var people = new Dictionary<string, string>();
        for (var i = 0; i < 12; i++)
            people[Code(i)] = await RegisterAsync(i);
        using var enough = new CancellationTokenSource();
        var asked = 0;
        var load = Enumerable.Range(0, 2).Select(worker => Task.Run(async () =>
        {
            for (var i = worker; !enough.IsCancellationRequested; i += 2)
            {
                await FindsAsync(i % people.Count);
                // Whoever is new has an id from then on; another clinic gets the same.
                if (i % 8 < 2)
                    await RegisterAsync(people.Count + i);
                Interlocked.Increment(ref asked);
            }
        })).ToArray();
        await CarriedOutAsync("pseudonym-key/2", "begin");
        JsonElement left;
        do
            left = (await olga.GetFromJsonAsync<JsonElement>("/operator/keys")).GetProperty("people");
        while (left.GetProperty("left").GetInt32() > 0);
        Assert.Equal((2, 100), (left.GetProperty("version").GetInt32(), left.GetProperty("percent").GetDouble()));
        await CarriedOutAsync("pseudonym-key/1", "destroy");
        for (var then = Volatile.Read(ref asked); Volatile.Read(ref asked) < then + 10 && !load.Any(static task => task.IsCompleted);)
            await Task.Yield();
        await enough.CancelAsync();
        await Task.WhenAll(load);
        for (var i = 0; i < people.Count; i++)
        {
            Assert.Equal(people[Code(i)], await RegisterAsync(i));
            await FindsAsync(i);
        }

        async Task<string> RegisterAsync(int person)
        {
            var (own, others) = (await house.Aurora.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(Code(person)))), await house.Revontuli.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(Code(person)))));
            Assert.True((own.Status, others.Status) is (201 or 200, 201 or 200), own.Text + others.Text);
            Assert.Equal(own.Stored!.Value.Id, others.Stored!.Value.Id);
            return own.Stored!.Value.Id;
        }

        async Task FindsAsync(int person)
        {
            var found = await house.Aurora.System.SearchAsync("Patient", $"identifier={Uri.EscapeDataString(PersonalIdentityCode.System + "|" + Code(person))}");
            Assert.True(found.Status == 200, found.Text);
            Assert.Contains(people[Code(person)], found.Text, StringComparison.Ordinal);
        }

        async Task CarriedOutAsync(string subject, string content)
        {
            using var proposed = await olga.PostAsJsonAsync("/operator/acts", new { kind = "key-ceremony", subject, content });
            Assert.Equal(HttpStatusCode.Created, proposed.StatusCode);
            var act = await proposed.Content.ReadFromJsonAsync<JsonElement>();
            foreach (var (who, step) in new[] { (heikki, "approve"), (olga, "carry-out") })
            {
                using var done = await who.PostAsJsonAsync($"/operator/acts/{act.GetProperty("id").GetString()}/{step}", new { digest = act.GetProperty("digest").GetString() });
                Assert.True(done.StatusCode == HttpStatusCode.NoContent, await done.Content.ReadAsStringAsync());
            }
        }
    }

    private static string Code(int person) => FictionalIdentityCode.Of("rotated", person).Reveal();
}
