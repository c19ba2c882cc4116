using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Disclosure;

/// <summary>A mark of an emergency is never lost: what is made anew while an old one is dropped stays, and a kill in between leaves it.</summary>
public sealed class EmergencyMarkTests : IDisposable
{
    private static readonly Pseudonym Person = Pseudonym.Read("mark-person"u8[..10]);
    private static readonly DateTimeOffset Earlier = new(2026, 11, 25, 12, 0, 0, TimeSpan.Zero), Later = Earlier.AddDays(4);

    private readonly TemporaryFolder _folder = new();

    private string File => _folder.File(Person.Encode());

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void An_old_mark_goes()
    {
        Write(File, Earlier);
        var mark = EmergencyMark.Read(File)!;
        Assert.Equal((Person, Earlier), (mark.Person, mark.At));
        mark.Drop();
        Assert.Empty(Files());
        // Somebody else did it already.
        mark.Drop();
        Assert.Empty(Files());
    }

    [Fact]
    public void One_that_was_made_anew_since_it_was_read_stays()
    {
        Write(File, Earlier);
        var mark = EmergencyMark.Read(File)!;
        Write(File, Later);
        mark.Drop();
        Assert.Equal(Later, EmergencyMark.Read(Assert.Single(Files()))!.At);
        Assert.Equal(File, Assert.Single(Files()));
    }

    [Fact]
    public void One_that_a_kill_left_aside_is_a_mark_and_goes_like_one()
    {
        var aside = $"{File}~{Guid.NewGuid():N}";
        Write(aside, Earlier);
        Write(File, Later);
        var mark = EmergencyMark.Read(aside)!;
        Assert.Equal((Person, Earlier), (mark.Person, mark.At));
        mark.Drop();
        Assert.Equal(File, Assert.Single(Files()));
    }

    [Theory]
    [InlineData(".0123456789abcdef")]
    [InlineData(".0123456789abcdef.new")]
    public void What_a_kill_left_half_made_is_none(string suffix)
    {
        Write(File + suffix, Earlier);
        Assert.Null(EmergencyMark.Read(File + suffix));
    }

    [Fact]
    public void One_of_an_organisation_says_by_whom_it_was_recorded()
    {
        var file = _folder.File(EmergencyMark.NameOf(Person, "unit", "professional"));
        Write(file, Earlier);
        Assert.Equal(new(file, Person, Earlier, "unit", "professional"), EmergencyMark.Read(file));
        Write(file + "~0", Later);
        Assert.Equal(("unit", "professional"), (EmergencyMark.Read(file + "~0")!.Unit, EmergencyMark.Read(file + "~0")!.Professional));
        Assert.Null(EmergencyMark.Read(file + ".0"));
    }

    [Fact]
    public void One_that_has_gone_is_none() => Assert.Null(EmergencyMark.Read(File));

    private string[] Files() => Directory.GetFiles(Path.GetDirectoryName(File)!);

    private static void Write(string file, DateTimeOffset at) => System.IO.File.WriteAllBytes(file, BitConverter.GetBytes(at.UtcTicks));
}
