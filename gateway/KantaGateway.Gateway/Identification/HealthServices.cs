namespace KantaGateway.Gateway.Identification;

/// <summary>The health care services (terveydenhuollon palvelut) that an organisation gives, as the decree 457/2024 §4 groups them: of point n the bit n.</summary>
[Flags]
public enum HealthServices
{
    None = 0,

    /// <summary>1) vastaanottopalvelut.</summary>
    Reception = 1 << 1,

    /// <summary>2) sairaala- ja vuodeosastopalvelut.</summary>
    Hospital = 1 << 2,

    /// <summary>3) työterveyshuollon palvelut.</summary>
    Occupational = 1 << 3,

    /// <summary>4) suun terveydenhuollon palvelut.</summary>
    Oral = 1 << 4,

    /// <summary>5) kotisairaanhoito.</summary>
    HomeNursing = 1 << 5,

    /// <summary>6) mielenterveyden hoidon ja päihde- ja riippuvuushoidon palvelut.</summary>
    MentalHealthAndAddiction = 1 << 6,

    /// <summary>7) ensihoito- ja päivystyspalvelut.</summary>
    EmergencyCare = 1 << 7,

    /// <summary>8) neuvolapalvelut.</summary>
    MaternityAndChild = 1 << 8,

    /// <summary>9) opiskeluhuollon palvelut.</summary>
    Student = 1 << 9,

    /// <summary>10) kuntoutuspalvelut.</summary>
    Rehabilitation = 1 << 10,

    /// <summary>11) sosiaalipalvelun yhteydessä annettavat terveyspalvelut.</summary>
    WithinSocialCare = 1 << 11,

    /// <summary>12) tutkimus- ja toimenpidepalvelut.</summary>
    ExaminationsAndProcedures = 1 << 12,

    /// <summary>13) seulonta- ja rokotuspalvelut.</summary>
    ScreeningAndVaccination = 1 << 13,

    /// <summary>14) sairaalan apteekkipalvelut.</summary>
    HospitalPharmacy = 1 << 14,
}

/// <summary>The points of the decree 457/2024 §4, as registrations state them.</summary>
public static class HealthServicePoints
{
    /// <summary>The points, 1 to 14.</summary>
    public static IReadOnlyList<int> All { get; } = [.. Enumerable.Range(1, 14)];

    /// <summary>The services of these points; where none is stated those of a reception, which give a task the most that it has anywhere but in the hospital's pharmacy.</summary>
    /// <param name="points">Each of <see cref="All"/>.</param>
    public static HealthServices Of(IReadOnlyList<int> points)
    {
        var services = HealthServices.None;
        foreach (var point in points)
            services |= (HealthServices)(1 << point);
        return services == HealthServices.None ? HealthServices.Reception : services;
    }

    /// <summary>Whether they are points of the section, each once.</summary>
    public static bool AreValid(IReadOnlyList<int> points) => points.All(All.Contains) && points.Distinct().Count() == points.Count;
}
