using System.Globalization;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Formats;

/// <summary>Who has the newest version is told so without it, and that is recorded as a read.</summary>
[Collection(FormatsCollection.Name)]
public sealed class ConditionalReadTests(FormatsHouse fixture)
{
    private readonly HouseInMemory _house = fixture.House;

    [Fact]
    public async Task A_version_that_the_caller_has_is_answered_304_without_a_body()
    {
        var (id, first) = await StoredAsync();
        foreach (var known in new (string, string)[]
        {
            ("If-None-Match", first.ETag!), ("If-None-Match", $"\"x\", {first.ETag!.Replace("W/", "", StringComparison.Ordinal)}"), ("If-None-Match", "*"),
            ("If-Modified-Since", first.Headers["Last-Modified"]), ("If-Modified-Since", DateTimeOffset.UtcNow.AddMinutes(1).ToString("R", CultureInfo.InvariantCulture)),
        })
        {
            var again = await ReadAsync($"Observation/{id}", known);
            Assert.Equal(304, again.Status);
            Assert.Empty(again.Body);
            Assert.Equal(first.ETag, again.ETag);
            Assert.Equal(first.Headers["Last-Modified"], again.Headers["Last-Modified"]);
        }
    }

    [Fact]
    public async Task A_newer_version_is_shown()
    {
        var (id, first) = await StoredAsync();
        var changed = JsonNode.Parse(first.Body)!.AsObject();
        changed["status"] = "amended";
        Assert.Equal(200, (await _house.Aurora.System.UpdateAsync("Observation", id, HouseInMemory.Json(changed), first.ETag)).Status);

        Assert.Equal(200, (await ReadAsync($"Observation/{id}", ("If-None-Match", first.ETag!))).Status);
        Assert.Equal(200, (await ReadAsync($"Observation/{id}", ("If-Modified-Since", "Wed, 01 Jan 2020 00:00:00 GMT"))).Status);
        Assert.Equal(200, (await _house.Aurora.System.SendAsync(HttpMethod.Get, $"Observation/{id}", headers: [("If-None-Match", "\"x\""), ("If-Modified-Since", DateTimeOffset.UtcNow.ToString("R"))])).Status);
    }

    [Fact]
    public async Task What_is_hidden_absent_or_deleted_answers_as_it_does_without_the_condition()
    {
        var (id, _) = await StoredAsync();
        var hidden = await _house.Revontuli.System.SendAsync(HttpMethod.Get, $"Observation/{id}", headers: [("If-None-Match", "*")]);
        Assert.Equal(404, hidden.Status);
        await _house.Aurora.System.DeleteAsync("Observation", id);
        Assert.Equal(410, (await ReadAsync($"Observation/{id}", ("If-None-Match", "*"))).Status);
    }

    [Fact]
    public async Task Which_record_of_a_person_is_shown_can_change_so_only_its_own_time_counts()
    {
        var patient = await _house.Aurora.System.ReadAsync("Patient", _house.PatientId);
        Assert.Equal(304, (await ReadAsync($"Patient/{_house.PatientId}", ("If-Modified-Since", patient.Headers["Last-Modified"]))).Status);
        Assert.Equal(200, (await ReadAsync($"Patient/{_house.PatientId}", ("If-Modified-Since", DateTimeOffset.UtcNow.AddMinutes(1).ToString("R", CultureInfo.InvariantCulture)))).Status);
    }

    [Fact]
    public async Task A_304_stands_in_the_persons_access_log_like_a_read()
    {
        var (id, first) = await StoredAsync();
        Assert.Equal(304, (await ReadAsync($"Observation/{id}", ("If-None-Match", first.ETag!))).Status);
        var newest = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines.Where(l => l.Items.Any(i => i.Id == id)).ToList();
        Assert.Equal(["read", "read", "create"], newest.Select(l => l.Interaction));
    }

    [Fact]
    public async Task HEAD_gives_the_headers_of_a_read_and_is_recorded_like_one()
    {
        var (id, read) = await StoredAsync();
        foreach (var target in new[] { $"Observation/{id}", $"Observation/{id}/_history", $"Observation?patient={_house.PatientId}&_id={id}", "metadata" })
        {
            var full = await _house.Aurora.System.SendAsync(HttpMethod.Get, target);
            var head = await _house.Aurora.System.SendAsync(HttpMethod.Head, target);
            Assert.Equal(200, head.Status);
            Assert.Empty(head.Body);
            foreach (var name in new[] { "ETag", "Last-Modified", "Content-Type", "Content-Length", "Cache-Control", "Vary" })
                Assert.Equal(full.Headers.GetValueOrDefault(name), head.Headers.GetValueOrDefault(name));
        }
        Assert.Equal(404, (await _house.Aurora.System.SendAsync(HttpMethod.Head, $"Observation/{Guid.NewGuid()}")).Status);
        Assert.Equal(5, (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines.Count(l => l.Interaction is "read" or "search-type" && l.Items.Any(i => i.Id == id)));
        Assert.Equal(read.ETag, (await _house.Aurora.System.SendAsync(HttpMethod.Head, $"Observation/{id}")).ETag);
    }

    private async Task<(string Id, FhirReply Read)> StoredAsync()
    {
        var stored = await _house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("conditional")));
        Assert.Equal(201, stored.Status);
        var id = stored.Stored!.Value.Id;
        return (id, await _house.Aurora.System.ReadAsync("Observation", id));
    }

    private Task<FhirReply> ReadAsync(string target, (string, string) header) => _house.Aurora.System.SendAsync(HttpMethod.Get, target, headers: [header]);
}
