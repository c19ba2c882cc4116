using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Operations;
using KantaGateway.Tests.Laws;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Operations;

/// <summary>Whether a record is kept any longer, as the whole house tells operators who want it destroyed (Act 703/2023 §24).</summary>
public sealed class RecordRetentionTests
{
    [Fact]
    public async Task A_record_is_over_when_its_time_is_and_nobody_treats_the_person_and_is_nobodys_when_it_is_destroyed()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync(open: false);
        Assert.True(house.Gateway.GetRequiredService<IdentifierCipher>().TryReadResourceId(house.PatientId, out var person, out _));
        var retention = house.Gateway.GetRequiredService<RecordRetention>();
        var living = await retention.OfAsync(person, default);
        Assert.Equal((null, null, null, false), (living.Born, living.Died, living.KeptUntil, living.IsOverAt(DateTimeOffset.UtcNow.AddYears(200))));
        Assert.Equal(["1.2.246.10.99000011", "1.2.246.10.99000022"], living.Controllers);
        Assert.InRange(living.LastStored!.Value, DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddMinutes(5));

        var code = house.Folder.Citizens[0].IdentityCode;
        foreach (var clinic in new[] { house.Aurora, house.Revontuli })
        {
            var patient = HouseInMemory.Patient(code);
            (patient["birthDate"], patient["deceasedDateTime"], patient["id"]) = ("1931-04-05", "2009-02-01", house.PatientId);
            var stored = await clinic.System.ReadAsync("Patient", house.PatientId);
            Assert.Equal(200, (await clinic.System.UpdateAsync("Patient", house.PatientId, HouseInMemory.Json(patient), stored.ETag)).Status);
        }
        var dead = await retention.OfAsync(person, default);
        Assert.Equal((1931, 2009, 2021), (dead.Born, dead.Died, dead.KeptUntil?.Year));
        // Something has been stored just now, and of the dead nothing is.
        Assert.False(dead.IsOverAt(DateTimeOffset.UtcNow));
        Assert.False(dead.IsOverAt(dead.LastStored!.Value.AddYears(1).AddTicks(-1)));
        Assert.True(dead.IsOverAt(dead.LastStored!.Value.AddYears(1)));

        var visit = house.Encounter("1.2.246.10.99000022.14.2026.2", "in-progress");
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(visit))).Status);
        var treated = await retention.OfAsync(person, default);
        Assert.Equal((true, false), (treated.IsTreated, treated.IsOverAt(DateTimeOffset.UtcNow.AddYears(2))));

        await house.Gateway.GetRequiredService<RecordErasure>().EraseAsync(new KeyErasure("act", person, "proposer", "approver"), default);
        var gone = await retention.OfAsync(person, default);
        Assert.Equal((null, false), (gone.LastStored, gone.IsOverAt(DateTimeOffset.UtcNow.AddYears(200))));
        Assert.Empty(gone.Controllers);
        Assert.Equal(404, (await house.Aurora.System.ReadAsync("Observation", note)).Status);
        Assert.Equal(410, (await house.Aurora.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(code)))).Status);
    }
}
