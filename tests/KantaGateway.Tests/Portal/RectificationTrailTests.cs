using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Portal;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Portal;

/// <summary>Marks that tell a register where to look: none is lost before its request is settled, and none stays after.</summary>
public sealed class RectificationTrailTests : IDisposable
{
    private static readonly AskedRegister Asked = new("1.2.246.10.99000011", "2"), Another = new("1.2.246.10.99000022", "2");

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("kanta-rectifications-");
    private readonly FakeTimeProvider _time = new();
    private readonly ServiceProvider _services = new ServiceCollection().AddSingleton(new IdentifierKey(new byte[32])).BuildServiceProvider();

    public void Dispose()
    {
        _services.Dispose();
        _folder.Delete(true);
    }

    private RectificationTrail Trail => new(PortalUnderTest.Options(false) with { EmergencyFolder = _folder.FullName }, _services, _time);

    [Fact]
    public void A_mark_is_of_one_register_and_one_person_and_the_oldest_comes_first()
    {
        Trail.Mark(Asked, Pseudonym.Read("portal-two"u8));
        _time.Advance(TimeSpan.FromMinutes(1));
        Trail.Mark(Asked, PortalUnderTest.Self);
        Trail.Mark(Asked with { Register = "4:1.2.246.10.2" }, PortalUnderTest.Self);
        Assert.Equal([Pseudonym.Read("portal-two"u8), PortalUnderTest.Self], Trail.Of(Asked).Select(static mark => mark.Person));
        Assert.Empty(Trail.Of(Another));
    }

    [Fact]
    public void What_is_settled_goes_an_hour_later_but_not_what_was_asked_since_it_was_looked_at()
    {
        Trail.Mark(Asked, PortalUnderTest.Self);
        Trail.Settled(Assert.Single(Trail.Of(Asked)));
        _time.Advance(TimeSpan.FromMinutes(61));
        // Within the hour it may have been on its way.
        var looked = Assert.Single(Trail.Of(Asked));
        Trail.Mark(Asked, PortalUnderTest.Self);
        Trail.Settled(looked);
        _time.Advance(TimeSpan.FromMinutes(61));
        Trail.Settled(Assert.Single(Trail.Of(Asked)));
        Assert.Empty(Trail.Of(Asked));
    }

    [Fact]
    public void What_cannot_be_marked_is_not_to_be_stored()
    {
        File.WriteAllText(Path.Combine(_folder.FullName, "rectifications"), "");
        Assert.Throws<KantaGateway.Fhir.Outcomes.FaultException>(() => Trail.Mark(Asked, PortalUnderTest.Self));
    }
}
